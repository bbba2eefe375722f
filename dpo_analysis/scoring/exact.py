"""What 16 bits cost: the same weights computed in float32, for a moment."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dpo_analysis.scoring.spread import is_offloaded

LOW = (torch.bfloat16, torch.float16)


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """``model`` with its 16-bit weights as float32, which is exact; afterwards as it was, to the bit.

    Buffers stay: those that matter, such as rotary frequencies, are float32 anyway. Weights need twice their memory.

    Raises:
        NotImplementedError: some weights are not in memory.
    """
    if is_offloaded(model):
        raise NotImplementedError("weights that are not in memory cannot be widened")
    changed = []
    try:
        for value in model.parameters():
            if value.dtype in LOW:
                changed.append((value, value.dtype))
                value.data = value.data.float()
        yield
    finally:
        for value, dtype in changed:
            value.data = value.data.to(dtype)
