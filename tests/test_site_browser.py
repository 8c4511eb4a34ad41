"""The web pages in a browser: sorted, filtered, with a keyboard, on a phone, in the dark."""

import browser
import pytest
import site_fixtures

pytestmark = pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING))
VISIBLE = "[...document.querySelectorAll('#cells tbody tr:not([hidden])')]"
SORTED = "return [...document.querySelectorAll('#cells thead th')].map(h => h.ariaSort)"
HEADINGS = "return [...document.querySelectorAll('#cells thead th')].map(h => h.innerText.trim())"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    results = tmp_path_factory.mktemp("run") / "results"
    return site_fixtures.site(results, site_fixtures.cells_of(results / "cells"))


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser.browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


@pytest.fixture
def table(window, site):
    window.resize(1280)
    window.open(site / "table.html")
    return window


def column(window, name):
    """The visible cells of a column of the table, from the top."""
    place = [heading.split("\n")[0] for heading in window.run(HEADINGS)].index(name)
    return window.run(f"return {VISIBLE}.map(row => row.cells[{place}].innerText)")


def rates(window):
    return [float(text.split()[0]) for text in column(window, "malign answers") if text != "–"]


def test_no_page_complains_asks_the_network_or_runs_what_a_model_said(window, site):
    window.requests(), window.complaints()
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        window.open(page)
        assert "owned" not in window.run("return document.title")
        assert not window.run("return document.querySelectorAll('main script:not([src])').length")
    assert window.complaints() == []
    asked = window.requests()
    assert len(asked) >= len(pages)
    assert all(address.startswith(("file:", "data:")) for address in asked)


def test_a_click_sorts_and_a_second_one_turns_it_round(table):
    before = column(table, "removal")
    button = "document.querySelectorAll('#cells thead button')[3].click()"
    table.run(button)
    assert table.run(SORTED)[3] == "ascending" and rates(table) == sorted(rates(table))
    table.run(button)
    assert table.run(SORTED).count("descending") == 1
    assert rates(table) == sorted(rates(table), reverse=True)
    assert sorted(column(table, "removal")) == sorted(before)


def test_the_keyboard_sorts_and_leads_to_a_cell(table):
    table.run("document.querySelector('#cells thead button').focus()")
    table.press("enter")
    assert table.run(SORTED)[0] == "ascending"
    table.press("tab", "space")
    assert table.run(SORTED)[:2] == [None, "ascending"]
    table.run("document.querySelector('#cells tbody a').focus()")
    table.press("enter")
    assert "/cells/" in table.run("return location.pathname")


def test_the_address_keeps_the_filters(table, site):
    choose = """
        const select = document.querySelector('#filters select[name=arm]');
        select.value = 'toy network';
        select.dispatchEvent(new Event('change', {bubbles: true}));
        return location.hash;
    """
    assert table.run(choose) == "#arm=toy+network"
    table.open(site / "index.html")
    table.run("location.assign('table.html#arm=toy+network&layers=no+such')")
    assert set(column(table, "base")) == {"toy"} and len(column(table, "base")) == 2


def test_filters_narrow_and_show_all_brings_everything_back(table):
    choose = """
        const select = document.querySelectorAll('#filters select')[arguments[0]];
        select.value = arguments[1];
        select.dispatchEvent(new Event('change', {bubbles: true}));
        return document.getElementById('count').innerText;
    """
    total = len(column(table, "removal"))
    assert table.run(choose, 0, "toy network").startswith("2 of ")
    assert set(column(table, "base")) == {"toy"}
    assert table.run(choose, 5, "target layers").startswith("1 of ")
    table.run("document.querySelector('#filters button').click()")
    table.run("return new Promise(done => setTimeout(done, 50))")
    assert len(column(table, "removal")) == total


def test_of_thousands_of_cells_the_first_are_shown_until_one_asks(window, site):
    text = (site / "table.html").read_text()
    start, end = text.index("<tbody>") + len("<tbody>"), text.index("</tbody>")
    (site / "many.html").write_text(text[:start] + 100 * text[start:end] + text[end:])
    window.open(site / "many.html")
    (site / "many.html").unlink()
    assert len(column(window, "removal")) == 500
    more = window.run("return document.getElementById('more').innerText")
    window.run("document.getElementById('more').click()")
    total = len(column(window, "removal"))
    assert total > 500 and more == f"Show the other {total - 500}"


@pytest.mark.parametrize(
    "page", ["index", "table", "figures", "figures/removal", "contrasts", "cell"]
)
def test_a_phone_shows_no_page_wider_than_itself(window, site, page):
    window.resize(360)
    window.open(
        site / f"cells/{site_fixtures.SAID}.html" if page == "cell" else site / f"{page}.html"
    )
    assert window.run("return [document.documentElement.scrollWidth, innerWidth]") == [360, 360]


def test_dark_and_light_differ(window, site):
    seen = set()
    for scheme in ("dark", "light"):
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        window.command("Emulation.setEmulatedMedia", features=media)
        window.open(site / "index.html")
        seen.add(window.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2
