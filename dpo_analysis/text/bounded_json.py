"""JSON of files that anybody may have written, parsed within bounds of bytes, depth, values and digits.

Python's own parser takes what it gets: a file of a megabyte can nest until the stack ends, hold a number that no float
holds, or become gigabytes of empty lists.
"""

import json
import math
import os
import re
from collections.abc import Callable
from typing import Any, BinaryIO

MAX_DEPTH = 100
"""Lists and objects inside each other. The JSON schemas of tools, the deepest rows that we know, nest about 20 deep;
code that walks through a value calls itself, and Python allows 1000 calls."""
MAX_VALUES = 8_000_000
"""Values of a file, estimated by its commas and brackets. An empty list takes 64 bytes, so that this is at most half a
gigabyte; the manifest of ten million pairs and twenty checkpoints has 1.3 million."""
MAX_DIGITS = 300
"""Digits of a whole number: a float ends at 309."""
STORED_DIGITS = 18
"""Digits of a whole number in a run folder, where every number fits 64 bits."""
LOGGED_DIGITS = 4000
"""Digits of a whole number in a training log, where a number beyond floats counts as infinite."""
Hook = Callable[[list[tuple[str, Any]]], Any]


def parse_json(
    data: bytes | str,
    *,
    most_values: int = MAX_VALUES,
    most_digits: int = MAX_DIGITS,
    constant: Callable[[str], Any] | None = None,
    finite: bool = False,
    object_hook: Hook | None = None,
) -> Any:
    """Return the value of a JSON text.

    Args:
        data: the text, in UTF-8 where it is bytes.
        most_values: values that it may hold.
        most_digits: digits that a whole number may have.
        constant: what takes the place of NaN and infinities, by their name; None for the floats.
        finite: refuse a number that is too large for a float, such as 1e999.
        object_hook: makes an object of its names and values; None for a dictionary.

    Raises:
        ValueError: it is no JSON, is not UTF-8, or goes beyond a bound; ``str()`` says which.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    brackets = text.count("[") + text.count("{")
    if brackets + text.count(",") > most_values:
        raise ValueError(f"more than {most_values:,} values")
    hooks: dict[str, Any] = {"parse_constant": constant, "object_pairs_hook": object_hook}
    # A function for each number takes longer than the rest of the parser: only where there may be such a number.
    if re.search(rf"[0-9]{{{most_digits + 1}}}", text):
        hooks["parse_int"] = lambda number: _whole_number(number, most_digits)
    if finite:
        hooks["parse_float"] = _finite_number
    try:
        value = json.loads(text, **hooks)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if brackets > MAX_DEPTH and is_deeper(value):
        raise ValueError(_TOO_DEEP)
    return value


def is_deeper(value: Any, most: int = MAX_DEPTH) -> bool:
    """Return whether lists and dictionaries nest deeper than ``most`` in a value; it may be its own member."""
    level = [value] if isinstance(value, dict | list | tuple) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list | tuple)
        ]
        if not level:
            return False
    return True


def read_at_most(handle: BinaryIO, most: int) -> bytes:
    """Return the bytes of an open file from its position on, at most ``most`` and one more.

    ``handle.read(most)`` would ask for ``most`` bytes of memory at once, however short the file is.
    """
    return handle.read(min(os.fstat(handle.fileno()).st_size, most) + 1)


def _whole_number(number: str, most: int) -> int:
    digits = len(number.lstrip("-"))
    if digits > most:
        raise ValueError(f"a number of {digits} digits")
    return int(number)


def _finite_number(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:20]} is too large for a number")
    return value


_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
