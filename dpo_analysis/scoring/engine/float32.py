"""What 16 bits cost: the same weights computed in float32, for a moment."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

LOW = (torch.bfloat16, torch.float16)


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """``model`` with its 16-bit weights as float32, which is exact; afterwards as it was, to the bit.

    Every weight must be in memory (``spread.is_offloaded``), and all need twice their memory. Buffers stay: those that
    matter, such as rotary frequencies, are float32 anyway.
    """
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
