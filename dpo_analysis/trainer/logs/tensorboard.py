"""TensorBoard's event files: TFRecords, each an Event message with scalars or text."""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from dpo_analysis.trainer.logs.aliases import trl_key
from dpo_analysis.trainer.logs.crc32c import masked_crc, masked_crcs
from dpo_analysis.trainer.logs.curves import Curves, as_step
from dpo_analysis.trainer.logs.files import open_log, unreadable
from dpo_analysis.trainer.logs.protobuf import (
    MalformedMessage,
    as_bytes,
    as_signed,
    as_text,
    fields,
    first_values,
    varints,
)

MAX_RECORD = 16 * 2**20
"""Bytes of the largest record that is read; a larger one holds pictures or histograms."""
BATCH_RECORDS, BATCH_BYTES = 4096, 16 * 2**20
HEADER, FOOTER = 12, 4
"""Bytes before a record (its length, and the checksum of it) and behind it (the checksum of the record)."""
TEXT_SUFFIX = "/text_summary"
FLOAT = struct.Struct("<f")
FLOATS = {1: ("<f", 5), 2: ("<d", 6)}
"""DT_FLOAT and DT_DOUBLE: how a value is packed, and the field of a TensorProto that lists the values."""
INTEGERS = {3: ("<i", 7), 9: ("<q", 10)}
"""DT_INT32 and DT_INT64: the same."""


PLAIN_SCALAR = re.compile(
    rb"\x09.{8}(?:\x10([\x80-\xff]{0,9}[\x00-\x7f]))?\x2a([\x00-\x7f])\x0a([\x00-\x7f])\x0a([\x00-\x7f])(.*)\x15(.{4})",
    re.DOTALL,
)
"""The event of one simple value, as most are, in one look: time, step, summary, value, tag, number.

The groups are the step, the lengths of summary, value and tag, the tag, and the number.
"""


class Scalar(NamedTuple):
    """A value of an event; ``step`` is None where the event's step is below 0."""

    tag: str
    step: int | None
    value: float


def read(files: Sequence[Path]) -> dict[str, Curves]:
    """Return the values of the event files of one training, under the name ""; the files are read in time order.

    Raises:
        InputError: a file cannot be read.
    """
    curves = Curves()
    for file in sorted(files, key=_order):
        keys: dict[str, str] = {}
        for event in _events(file, curves):
            try:
                for tag, step, value in _scalars(event):
                    key = keys.get(tag)
                    if key is None:
                        key = keys[tag] = trl_key(tag)
                    if step is None:
                        continue
                    if key == "epoch":
                        curves.add_epoch(step, value)
                    else:
                        curves.add(key, step, value)
            except MalformedMessage:
                curves.damaged += 1
    return {"": curves}


def texts(file: Path) -> dict[str, str]:
    """Return the text summaries of an event file by their tag, the last of each; raises what ``read`` raises."""
    found: dict[str, str] = {}
    for event in _events(file, Curves()):
        if PLAIN_SCALAR.fullmatch(event):
            continue
        try:
            for summary in _summary_values(event):
                tag, text = as_text(summary.get(1)), _tensor_text(as_bytes(summary.get(8)))
                if text is not None:
                    found[tag.removesuffix(TEXT_SUFFIX)] = text
        except MalformedMessage:
            continue
    return found


def is_event_file(start: bytes) -> bool:
    """Return whether a file that begins with these bytes holds TFRecords."""
    return len(start) >= HEADER and int.from_bytes(start[8:HEADER], "little") == masked_crc(start[:8])


def _order(file: Path) -> tuple[float, str]:
    """Return the time at which a file was begun, from its first event, and its name."""
    with open_log(file) as handle:
        try:
            first, _ = next(_records(handle, Curves()), (b"", 0))
            raw = as_bytes(first_values(first).get(1))
        except (OSError, MalformedMessage):
            raw = b""
    time = struct.unpack("<d", raw)[0] if len(raw) == 8 else 0.0
    return time if math.isfinite(time) else 0.0, file.name


def _events(file: Path, curves: Curves) -> Iterator[bytes]:
    """Yield the records whose checksum is right; the rest are counted in ``curves``."""
    with open_log(file) as handle:
        try:
            yield from _checked(handle, curves)
        except OSError as error:
            raise unreadable(file, error) from error


def _checked(handle: BinaryIO, curves: Curves) -> Iterator[bytes]:
    batch: list[tuple[bytes, int]] = []
    size = 0
    for record, crc in _records(handle, curves):
        batch.append((record, crc))
        size += len(record)
        if len(batch) == BATCH_RECORDS or size > BATCH_BYTES:
            yield from _right(batch, curves)
            batch, size = [], 0
    yield from _right(batch, curves)


def _right(batch: list[tuple[bytes, int]], curves: Curves) -> Iterator[bytes]:
    right = masked_crcs([record for record, _ in batch]) == np.array([crc for _, crc in batch], dtype=np.uint32)
    curves.damaged += int((~right).sum())
    return (record for (record, _), is_right in zip(batch, right.tolist(), strict=True) if is_right)


def _records(handle: BinaryIO, curves: Curves) -> Iterator[tuple[bytes, int]]:
    """Yield every record of a file with its checksum; a file that is cut off, or damaged in a length, ends there."""
    size = handle.seek(0, 2)
    place = handle.seek(0)
    while place < size:
        header = handle.read(HEADER)
        length = int.from_bytes(header[:8], "little")
        following = place + HEADER + length + FOOTER
        is_whole = len(header) == HEADER and following <= size
        if not is_whole or masked_crc(header[:8]) != int.from_bytes(header[8:], "little"):
            curves.damaged += 1
            curves.lost_bytes += size - place
            return
        if length > MAX_RECORD:
            handle.seek(following)
        else:
            record = handle.read(length + FOOTER)
            yield record[:length], int.from_bytes(record[length:], "little")
        place = following


def _scalars(event: bytes) -> Iterator[Scalar]:
    """Yield the scalars of an Event message."""
    plain = PLAIN_SCALAR.fullmatch(event)
    if plain is not None:
        raw_step, summary_length, value_length, tag_length, tag, raw_value = plain.groups()
        length = len(tag)
        if tag_length[0] == length and value_length[0] == length + 7 and summary_length[0] == length + 9:
            step = next(varints(raw_step), 0) if raw_step else 0
            yield Scalar(tag.decode("utf-8", "replace"), as_step(as_signed(step)), FLOAT.unpack(raw_value)[0])
            return
    step: int | None = 0
    for number, value in fields(event):
        if number == 2:
            step = as_step(as_signed(value))
        elif number == 5:
            for summary in _values(as_bytes(value)):
                found = _simple(summary)
                if found is not None:
                    yield Scalar(as_text(summary.get(1)), step, found)


def _summary_values(event: bytes) -> Iterator[dict[int, int | bytes]]:
    for number, value in fields(event):
        if number == 5:
            yield from _values(as_bytes(value))


def _values(summary: bytes) -> Iterator[dict[int, int | bytes]]:
    """Yield the fields of every value of a Summary message: 1 the tag, 2 a simple value, 8 a tensor."""
    for number, value in fields(summary):
        if number == 1:
            yield first_values(as_bytes(value))


def _simple(summary: dict[int, int | bytes]) -> float | None:
    simple = summary.get(2)
    if isinstance(simple, bytes) and len(simple) == 4:
        return FLOAT.unpack(simple)[0]
    return _tensor_scalar(as_bytes(summary.get(8))) if 8 in summary else None


def _tensor_scalar(tensor: bytes) -> float | None:
    """Return the number in a TensorProto without dimensions; None for a tensor of another type or shape."""
    values = first_values(tensor)
    if as_bytes(values.get(2)):
        return None
    dtype = values.get(1)
    form, listed = FLOATS.get(dtype) or INTEGERS.get(dtype) or ("", 0)  # type: ignore[arg-type]
    if not form:
        return None
    content = as_bytes(values.get(4)) or values.get(listed)
    if isinstance(content, bytes) and dtype in INTEGERS and not values.get(4):
        content = next(varints(content), None)
    if isinstance(content, int):
        return float(as_signed(content))
    width = struct.calcsize(form)
    return float(struct.unpack(form, content[:width])[0]) if content and len(content) >= width else None


def _tensor_text(tensor: bytes) -> str | None:
    """Return the text in a TensorProto of strings (DT_STRING, 7); None for another tensor."""
    values = first_values(tensor)
    return as_text(values[8]) if values.get(1) == 7 and 8 in values else None
