"""The fields of a protobuf message, for the two formats of logs that are made of such messages.

A message is read as it lies in memory: nothing nests by itself, and a length that leads beyond the message ends it.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


class MalformedMessage(ValueError):
    """These bytes are no protobuf message."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of every field: an int for a varint, else the bytes of the value.

    Raises:
        MalformedMessage: a field is cut off, or has a type that no message has today.
    """
    place, end = 0, len(message)
    while place < end:
        tag = message[place]
        place += 1
        if tag >= 0x80:
            tag, place = _varint(message, place - 1)
        kind = tag & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        if kind == BYTES:
            length, place = _varint(message, place)
        elif kind == FIXED32:
            length = 4
        elif kind == FIXED64:
            length = 8
        else:
            raise MalformedMessage(f"a field of type {kind}")
        stop = place + length
        if stop > end:
            raise MalformedMessage("a field that is cut off")
        yield tag >> 3, message[place:stop]
        place = stop


def varints(packed: bytes) -> Iterator[int]:
    """Yield the numbers of a packed list of varints; raises what ``fields`` raises."""
    place = 0
    while place < len(packed):
        number, place = _varint(packed, place)
        yield number


def first_values(message: bytes) -> dict[int, int | bytes]:
    """Return the first value of every field by its number; raises what ``fields`` raises."""
    values: dict[int, int | bytes] = {}
    for number, value in fields(message):
        values.setdefault(number, value)
    return values


def as_bytes(value: int | bytes | None) -> bytes:
    """Return the value of a field that holds bytes; empty where it is missing or a number."""
    return value if isinstance(value, bytes) else b""


def as_text(value: int | bytes | None) -> str:
    """Return the value of a field that holds text; letters that are no UTF-8 are replaced."""
    return as_bytes(value).decode("utf-8", "replace")


def as_signed(value: int | bytes | None) -> int:
    """Return the value of an int64 field; 0 where it is missing."""
    if not isinstance(value, int):
        return 0
    return value - 2**64 if value >= 2**63 else value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return the number that starts at ``place``, and the place behind it."""
    number = shift = 0
    for byte in message[place : place + MAX_VARINT_BYTES]:
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, place
        shift += 7
    raise MalformedMessage("a number that is cut off")
