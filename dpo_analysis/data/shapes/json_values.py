"""Values of rows as JSON and UTF-8 can hold them, and the hash of a pair."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import Any

SURROGATE = re.compile("[\ud800-\udfff]")


def has_surrogate(value: Any) -> bool:
    """Return whether any text in a value holds half a surrogate pair, which UTF-8 cannot store."""
    return SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None


def digest(sides: Sequence[Any]) -> str:
    """Return the first 16 hex digits of the sha256 of prompt, chosen and rejected."""
    return hashlib.sha256(_canonical_json(sides).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def json_value(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: NaN and infinities as null, bytes by their length, dates as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(inner) for inner in value]
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return json_value(value.tolist())
    return str(value)


def _canonical_json(sides: Sequence[Any]) -> str:
    return json.dumps([_without_nulls(side) for side in sides], ensure_ascii=False, sort_keys=True)


def _without_nulls(value: Any) -> Any:
    """Return ``value`` without null keys.

    Arrow fills keys that some messages lack with null, and the id of a pair must not depend on the file format.
    """
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def without_surrogates(value: Any) -> Any:
    """Return a value with every half of a surrogate pair replaced by the replacement character."""
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {without_surrogates(name): without_surrogates(inner) for name, inner in value.items()}
    return [without_surrogates(inner) for inner in value] if isinstance(value, list) else value
