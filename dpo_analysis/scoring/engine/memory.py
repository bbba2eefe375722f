"""Memory that runs out: told apart from other errors, and raised only when what filled it is gone."""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def in_memory(work: Callable[[], Result], device: torch.device, what: str) -> Result:
    """What ``work`` returns.

    Raises:
        MemoryError: memory ran out in it. It is raised once the first error is gone: while that one is handled, its
            traceback keeps alive what filled the memory.
    """
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    release(device)
    raise MemoryError(f"{what} does not fit on {device}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether ``error`` is one of the ways in which torch says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in ("can't allocate memory", "not enough memory", "out of memory"))


def release(device: torch.device) -> None:
    """Give the memory of what is no longer used back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
