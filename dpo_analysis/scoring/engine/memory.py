"""Running out of memory: recognised among other errors, and reported only when the memory is free again."""

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def guard_memory(work: Callable[[], Result], device: torch.device, subject: str) -> Result:
    """Return the result of ``work``, and turn every way of running out of memory into a MemoryError.

    Args:
        work: the function to call.
        device: where it runs; its cache is emptied when memory ran out.
        subject: subject of the error message.

    Raises:
        MemoryError: memory ran out. It is raised once the first error is gone: while that error is handled, its
            traceback keeps the tensors alive that filled the memory.
    """
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    empty_cache(device)
    raise MemoryError(f"{subject} does not fit on {device}")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether ``error`` is one of the ways in which torch reports that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch's CPU allocator and some CUDA libraries raise a plain RuntimeError with one of these texts
    return any(words in str(error) for words in ("can't allocate memory", "not enough memory", "out of memory"))


def empty_cache(device: torch.device) -> None:
    """Collect garbage and give torch's cached memory back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
