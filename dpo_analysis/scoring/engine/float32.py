"""Float32 arithmetic as it is written: no autocast, no TF32, and 16-bit weights widened for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dpo_analysis.scoring.engine.model_errors import model_code

SIXTEEN_BIT = (torch.bfloat16, torch.float16)


@contextmanager
def full_precision_inference(device: torch.device) -> Iterator[None]:
    """Compute without gradients, autocast and TF32 within the block; then the caller's settings are put back."""
    with full_precision(device), torch.inference_mode():
        yield


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute without autocast and TF32 within the block; then the caller's settings are put back."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Hold ``model``'s 16-bit weights as float32 within the block; afterwards they are as before, to the bit.

    Widening 16 bits to float32 is exact, so narrowing it again restores the weights. All of them must be in memory
    (``placement.is_offloaded``), and they take twice their memory. Buffers stay as they are: those that matter, such as
    rotary frequencies, are float32 anyway.

    Raises:
        ModelFailure: a weight of a foreign tensor type cannot be widened.
    """
    widened = []
    try:
        for value in model.parameters():
            if value.dtype in SIXTEEN_BIT:
                widened.append((value, value.dtype))
                with model_code():
                    value.data = value.data.float()
        yield
    finally:
        for value, dtype in widened:
            value.data = value.data.to(dtype)
