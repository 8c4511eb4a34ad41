"""Jobs and Snakemake itself are killed with -9; the same command then ends in the same bytes."""

import contextlib
import os
import random
import shutil
import signal
import time

import pytest
from pipeline import LLM_CELL, OVERLAY, RESULTS, TABLE, bytes_of, job_of, snakemake, start


def test_killed_job_runs_again_on_the_same_command(copy):
    before = bytes_of(copy)
    (copy / LLM_CELL).unlink()
    process = start(copy, LLM_CELL, *OVERLAY)
    os.kill(job_of(copy), signal.SIGKILL)
    assert process.wait(timeout=900) != 0
    assert not (copy / LLM_CELL).exists()
    snakemake(copy, LLM_CELL, *OVERLAY)
    assert bytes_of(copy) == before


def test_killed_snakemake_with_its_orphan_alive_ends_the_same(copy):
    before = bytes_of(copy)
    table = (copy / TABLE).read_bytes()
    for name in (LLM_CELL, TABLE):
        (copy / name).unlink()
    process = start(copy, LLM_CELL, *OVERLAY)
    orphan = job_of(copy)
    os.kill(orphan, signal.SIGSTOP)  # it must not end before the rerun starts
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    rerun = start(copy, *OVERLAY, "--", TABLE)
    job_of(copy, besides=orphan)
    os.kill(orphan, signal.SIGCONT)
    assert rerun.wait(timeout=900) == 0
    assert bytes_of(copy) == before
    assert (copy / TABLE).read_bytes() == table


@pytest.mark.slow
def test_twenty_kills_at_random_moments_end_in_the_same_bytes(copy):
    """Of jobs, of Snakemake, and of both, while all cells are made again."""
    before, table = bytes_of(copy), (copy / TABLE).read_bytes()
    shutil.rmtree(copy / RESULTS)
    for _ in range(20):
        process = start(copy, *OVERLAY)
        time.sleep(random.uniform(3, 12))
        if random.random() < 0.5:
            with contextlib.suppress(AssertionError, ProcessLookupError):
                os.kill(job_of(copy, patience=0), signal.SIGKILL)
            time.sleep(random.uniform(0, 1))
        process.kill()
        process.wait()
    snakemake(copy, *OVERLAY)
    assert bytes_of(copy) == before
    assert (copy / TABLE).read_bytes() == table
    assert not list((copy / RESULTS).rglob(".*.unfinished"))
