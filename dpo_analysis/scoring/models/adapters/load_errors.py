"""What transformers and PEFT raise where files cannot be loaded, and how a line of text quotes it."""

from collections.abc import Iterable

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

LOAD_ERRORS = (
    OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, ArithmeticError, AttributeError, ImportError,
    AssertionError, SafetensorError, StrictDataclassError,
)  # fmt: skip
"""Errors that bad files bring about in transformers and PEFT."""


def first_names(keys: Iterable[object]) -> str:
    """Return the first two of some names, sorted, and how many more there are."""
    names = sorted(str(key) for key in keys)
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def first_line(error: BaseException) -> str:
    """Return the beginning of an error's text on one line, at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines else type(error).__name__
    return text[:160]
