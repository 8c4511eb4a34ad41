"""The pages as a site: mkdocs.yml names this file as a hook, and mkdocs calls its `on_` functions.

The site has the folders of the checkout, so that a link from one page to another holds in both. A
link to any other file of the checkout leads to a page that shows the file.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from latex2mathml import converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BESIDE = (
    "README",
    "CONTRIBUTING",
    "CODE_OF_CONDUCT",
    "CHANGELOG",
    "config/README",
    "results/README",
)
PAGES = [
    *(ROOT / f"{name}.md" for name in BESIDE),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MOST = 500  # lines of a file that its page shows
# The target of a link, inline or at the end of the page, without its heading.
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)[^)\s#]+|(?<=^\[\w\]: )\S+", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile("`[^`\n]+`")
FORMULA = re.compile(r"^\$\$(.*?)\$\$$", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> None:
    """Fill in the entries of the navigation that have a star."""
    config.nav = _filled(config.nav, set(_named(config.nav)))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files, our pages and pictures, and the files that the pages link to."""
    shown = [*PAGES, *(ROOT / "docs" / "images").glob("*.[ps][nv]g")]
    ours = [File.generated(config, _uri(path), abs_src_path=str(path)) for path in shown]
    linked = {path for page in PAGES for path in _linked(page)} - {*shown}
    sources = [
        File.generated(
            config,
            f"{_uri(path)}.md",
            content=_source(path),
            inclusion=InclusionLevel.NOT_IN_NAV,
        )
        for path in sorted(linked)
    ]
    theirs = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*theirs, *ours, *sources])


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrite a page, which GitHub shows as it is, for the Markdown of mkdocs."""
    folder = ROOT / Path(page.file.src_uri).parent
    return "".join(
        part if part.startswith("```") else _rewritten(part, folder)
        for part in re.split(f"({FENCE.pattern})", markdown, flags=FENCE.flags)
    )


def _rewritten(text: str, folder: Path) -> str:
    """Rewrite a part of a page that has no block of code at its margin."""
    text = re.sub(r"<!--.*?-->", "\n", text)  # a table stands between comments
    text = re.sub(r"^   (?=\s*\S)", "    ", text, flags=re.MULTILINE)  # what belongs to a list
    text = FORMULA.sub(lambda found: converter.convert(found[1], display="block"), text)
    text = CODE.sub(lambda found: found[0].replace(r"\|", "|"), text)
    return LINK.sub(lambda found: found[0] + _is_source(folder / found[0]) * ".md", text)


def _named(entries: list) -> Iterator[str]:
    """The pages that a navigation names, without those of a star."""
    for entry in entries:
        inner = [*entry.values()][0] if isinstance(entry, dict) else entry
        yield from _named(inner) if isinstance(inner, list) else [inner]


def _filled(entries: list, named: set[str]) -> list:
    """A navigation in which an entry with a star is all such pages that are not named."""
    found = []
    for entry in entries:
        match entry:
            case str() if "*" in entry:
                found += [name for name in map(_uri, sorted(ROOT.glob(entry))) if name not in named]
            case dict():
                found += [
                    {title: _filled(inner, named) if isinstance(inner, list) else inner}
                    for title, inner in entry.items()
                ]
            case _:
                found.append(entry)
    return found


def _linked(page: Path) -> Iterator[Path]:
    """The files and folders of the checkout that a page links to."""
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        path = Path(os.path.normpath(page.parent / target))  # config/config.yaml is a link
        if _is_source(path):
            yield path


def _is_source(path: Path) -> bool:
    """Whether a link leads to a file that is no page and no picture."""
    return path.exists() and path.suffix not in (".md", ".png", ".svg")


def _source(path: Path) -> str:
    """A page with a file's text, or with the names of what is in a folder."""
    title = f"# {_uri(path)}\n\n"
    if path.is_dir():
        return title + "".join(f"- `{each.name}`\n" for each in sorted(path.glob("[a-z]*")))
    lines = path.read_text().splitlines()
    cut = [f"... and {len(lines) - MOST} more lines"] * (len(lines) > MOST)
    return "\n".join([f"{title}~~~~ {path.suffix[1:]}", *lines[:MOST], *cut, "~~~~", ""])


def _uri(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
