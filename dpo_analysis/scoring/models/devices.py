"""The device, the type of weights, the numerics and the threads that models are scored with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.workers.ranks import current_rank

BFLOAT16_PARAMETERS = 3_000_000_000
"""Parameters above which a model on CUDA is scored in bfloat16 unless the caller says otherwise."""
ONE_THREAD_PARAMETERS = 2_000_000
"""Parameters below which a second thread makes scoring hardly faster."""
NUMERICS = ("default", "trainer")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is CUDA, else MPS, else the CPU.

    Of several GPUs, the local rank of this process takes one unless ``name`` has an index.

    Raises:
        InputError: the device is unknown or not on this machine.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    kind, _, index = name.partition(":")
    if kind not in available or not (index.isdigit() or not index):
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda or mps")
    if not available[kind]:
        raise InputError(f"no {kind} device on this machine: torch {torch.__version__} sees none; use --device cpu")
    if kind == "cuda":
        return torch.device(kind, (int(index) if index else current_rank().local) % torch.cuda.device_count())
    return torch.device(name)


def pick_dtype(name: str | None, n_parameters: int, device: torch.device) -> str:
    """Return ``name``, or by default float32, and bfloat16 above ``BFLOAT16_PARAMETERS`` on CUDA.

    Raises:
        InputError: the name is unknown.
    """
    if name is None:
        return "bfloat16" if device.type == "cuda" and n_parameters > BFLOAT16_PARAMETERS else "float32"
    if name not in DTYPES:
        raise InputError(f"unknown dtype {name!r}; use {', '.join(DTYPES)}")
    return name


def check_numerics(name: str, dtype: str | None) -> None:
    """Check the name of the numerics, and that no type of weights contradicts the trainer's.

    Raises:
        InputError: the name is unknown, or a type other than float32 is asked of the trainer's numerics.
    """
    if name not in NUMERICS:
        raise InputError(f"unknown --numerics {name!r}; use {' or '.join(NUMERICS)}")
    if name == "trainer" and dtype not in (None, "float32"):
        raise InputError(
            f"--dtype {dtype} beside --numerics trainer: that is float32 weights under bfloat16 autocast; leave out one"
        )


@contextmanager
def few_threads(n_parameters: int, device: torch.device) -> Iterator[None]:
    """Use one thread for models below ``ONE_THREAD_PARAMETERS`` on the CPU; the number is restored afterwards.

    Such models are fast enough with one thread, do not wait for a busy machine at every barrier, and have the same
    scores to the byte on machines of one kind with any number of cores.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu" and n_parameters < ONE_THREAD_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
