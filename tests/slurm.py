"""A real Slurm of one node on this machine, for tests: daemons, jobs, limits and ways to die.

All that it keeps lies in one folder. It needs no cgroups, of which machines have one version or the
other: Slurm itself ends a job that takes too much memory. It never looks at, or into, another Slurm
on the machine. Its daemons listen on loopback alone where the host's name resolves to that;
elsewhere Slurm 22.05 wants all addresses, and answers only who has the folder's key.
"""

import contextlib
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
CRASHED = "slurmctld has crashed"

CONF = """\
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
MinJobAge=3600
KillWait=2
SlurmdTimeout=10
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherFrequency=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
GresTypes=gpu
NodeName=test NodeHostname=localhost NodeAddr=127.0.0.1 RealMemory=16000 Gres=gpu:h200:2 \
CPUs=8 Boards=1 SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1
PartitionName=DEFAULT Nodes=test DefaultTime=10 MaxTime=1-0 DefMemPerCPU=500 State=UP
PartitionName=cpu PriorityTier=10 Default=YES
PartitionName=gpu PriorityTier=10
PartitionName=low PriorityTier=1
"""
ON_LOOPBACK_ALONE = "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n"
# A Snakemake that looks at its Slurm jobs every second. The plugin has no option for that: it waits
# ten seconds longer after each look at which no job has ended, and a test would wait with it.
IMPATIENT = """
import asyncio, signal
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

async def a_second(self):
    await asyncio.sleep(1)

RemoteExecutor.sleep = a_second
# What a shell runs in the background ignores interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def missing() -> str | None:
    """Why Slurm cannot run here, and the mend; None if it can."""
    absent = [name for name in DAEMONS + CLIENTS if not _find(name)]
    if absent:
        return f"{', '.join(absent)} not found: make slurm installs them"
    if os.geteuid() != 0:
        return "only root can start slurmd: run the tests as root"
    return None


class Slurm:
    """One node of 8 CPUs and 2 GPUs (of nothing), with the partitions cpu, gpu and low.

    A job in `low` is requeued when one in `cpu` or `gpu` needs its place.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._running: dict[str, subprocess.Popen] = {}

    @property
    def env(self) -> dict[str, str]:
        """What leads a client program, and jobs, to this Slurm."""
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder}/bin:{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin",
        }

    def __enter__(self) -> "Slurm":
        try:
            self._configure()
            self._start("munged", "-F", "--force", *self._munge_options())
            self._wait(lambda: (self.folder / "munge/socket").exists(), "munged")
            self.restart_controller()
            self.start_node()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_node()
        for name in list(self._running):
            self._stop(name)

    def run(self, program: str, *arguments: str) -> str:
        """What a client program prints."""
        return subprocess.run(
            [program, *arguments],
            env={**os.environ, **self.env},
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            timeout=60,
        ).stdout

    def submit(self, script: str, *options: str) -> str:
        """Submit a line of shell; returns the job's number."""
        log = f"--output={self.folder}/job-%j.log"
        return self.run("sbatch", "--parsable", log, *options, "--wrap", script).strip()

    def jobs(self) -> list[dict[str, str]]:
        """Every job, ended ones too, by scontrol's names: JobId, JobState, Reason, Restarts..."""
        lines = self.run("scontrol", "-o", "-d", "show", "job").splitlines()
        pairs = re.compile(r"([\w/:]+)=(.*?)(?=\s+[\w/:]+=|\s*$)")
        return [dict(pairs.findall(line)) for line in lines if line.startswith("JobId=")]

    def node_state(self) -> str:
        """Of the node: idle, mixed, down*..."""
        return self.run("sinfo", "--noheader", "--partition=cpu", "--format=%T").strip()

    def hurry(self) -> None:
        """Let requeued jobs start now; Slurm makes them wait for 2 minutes.

        RuntimeError (CRASHED) if slurmctld has died of it: 22.05.8 does now and then when the
        srun of a requeued job asks for its nodes (in build_job_info_resp).
        """
        if self._running["slurmctld"].poll() is not None:
            raise RuntimeError(CRASHED)
        for job in self.jobs():
            if job["JobState"] == "PENDING" and job["Reason"] == "BeginTime":
                self.run("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now")

    def restart_controller(self) -> None:
        """Stop slurmctld, if it runs, and start it; it remembers every job."""
        self.stop_controller()
        self._start("slurmctld", "-D")
        self._wait(lambda: "UP" in self.run("scontrol", "ping"), "slurmctld")

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs go on."""
        self._stop("slurmctld")

    def start_node(self) -> None:
        """Start slurmd, and wait until the node takes jobs."""
        self._start("slurmd", "-D")
        ready = {"idle", "mixed", "allocated"}
        self._wait(lambda: self.node_state() in ready, "slurmd", "slurmctld")

    def kill_node(self) -> None:
        """SIGKILL slurmd, its steps and their processes, as if the machine had died."""
        self._stop("slurmd", signal.SIGKILL)
        while found := self._processes_of_jobs():
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)

    def _configure(self) -> None:
        for name in ("munge", "state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True)
        # Snakemake's plugin takes SLURM_CONF away from the srun that it runs in a job.
        srun = self.folder / "bin/srun"
        conf = self.env["SLURM_CONF"]
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={shlex.quote(conf)} exec {_find("srun")} "$@"\n')
        srun.chmod(0o755)
        key = self.folder / "munge/key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        for index in range(2):
            # As /dev/null: Slurm asks only that they are devices, each with a name of its own.
            os.mknod(self.folder / f"gpu{index}", 0o20666, os.makedev(1, 3))
        conf = CONF.format(
            folder=self.folder,
            ports=_free_ports(2),
        )
        with contextlib.suppress(OSError):  # a host's name need not resolve
            if socket.gethostbyname(socket.gethostname()) == "127.0.0.1":
                conf += ON_LOOPBACK_ALONE
        (self.folder / "slurm.conf").write_text(conf)
        gres = f"Name=gpu Type=h200 File={self.folder}/gpu[0-1]\n"
        (self.folder / "gres.conf").write_text(gres)

    def _munge_options(self) -> list[str]:
        files = ("socket", "key-file", "pid-file", "log-file", "seed-file")
        return [f"--{name}={self.folder}/munge/{name.removesuffix('-file')}" for name in files]

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._running[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", _find(name), *arguments],
                cwd=self.folder,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests
            )

    def _stop(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self._running.pop(name, None)
        if process is not None:
            process.send_signal(number)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait(self, done: Callable[[], bool], *names: str) -> None:
        """Until it is so, while the daemons of these names live."""
        end = time.monotonic() + 30
        while time.monotonic() < end and all(self._running[n].poll() is None for n in names):
            with contextlib.suppress(subprocess.CalledProcessError):  # it does not answer yet
                if done():
                    return
            time.sleep(0.1)
        files = [self.folder / f"{name}.{kind}" for name in names for kind in ("log", "out")]
        lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
        raise RuntimeError("\n".join([f"{names[0]} does not come up", *lines[-40:]]))

    def _processes_of_jobs(self) -> list[int]:
        """Steps, by their files in the folder, and what they started, by its environment."""
        mine = f"{self.folder}/".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                variables = (entry / "environ").read_bytes()
                job = mine in variables and b"\0SLURM_JOB_ID=" in variables
                step = (entry / "comm").read_text().startswith("slurmstepd") and any(
                    os.readlink(file).startswith(f"{self.folder}/")
                    for file in (entry / "fd").iterdir()
                )
                if job or step:
                    found.append(int(entry.name))
        return found


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
