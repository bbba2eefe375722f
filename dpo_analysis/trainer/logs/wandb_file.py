"""W&B's ``run-<id>.wandb``, read without W&B: a LevelDB log of Record messages, with the history and the config."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dpo_analysis.text.bounded_json import LOGGED_DIGITS, parse_json
from dpo_analysis.trainer.logs.aliases import LOG_CALLS, STEP_NAMES, trl_key
from dpo_analysis.trainer.logs.curves import Curves, as_step
from dpo_analysis.trainer.logs.files import open_log, unreadable
from dpo_analysis.trainer.logs.protobuf import MalformedMessage, as_bytes, as_signed, as_text, fields

MAGIC = b":W&B"
HEADER = 7
"""Bytes of the file's header, and of the header of a piece: checksum, length, kind."""
BLOCK = 32768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
"""Kinds of pieces: a whole record, or the first, a middle or the last piece of one."""
MAX_RECORD = 16 * 2**20
MAX_JSON = 2**20
"""Characters of the longest value that is parsed; longer ones are no numbers."""
HISTORY, CONFIG, RUN = 2, 5, 17
"""Fields of a Record."""


def read(files: Sequence[Path]) -> dict[str, Curves]:
    """Return the history of the files of one run, in time order, under the name "".

    The step is ``train/global_step`` or the like where the record has it, else W&B's own count.

    Raises:
        InputError: a file cannot be read.
    """
    curves = Curves()
    for file in files:
        for record in _records(file, curves):
            try:
                for number, value in fields(record):
                    if number == HISTORY:
                        _add(as_bytes(value), curves)
            except MalformedMessage:
                curves.damaged += 1
    return {"": curves}


def config(file: Path) -> dict[str, Any]:
    """Return the config of a run, as far as its values are JSON; raises what ``read`` raises."""
    found: dict[str, Any] = {}
    for record in _records(file, Curves()):
        try:
            for number, value in fields(record):
                if number == RUN:
                    updates = [as_bytes(inner) for field, inner in fields(as_bytes(value)) if field == 4]
                elif number == CONFIG:
                    updates = [as_bytes(value)]
                else:
                    continue
                for update in updates:
                    items = [as_bytes(item) for field, item in fields(update) if field == 1]
                    found |= dict(_item(item) for item in items)
        except MalformedMessage:
            continue
    return found


def run_id(file: Path) -> str:
    """Return the id of the run, which the files of a resumed run share: ``run-<id>.wandb``."""
    return file.stem.removeprefix("run-")


def _add(history: bytes, curves: Curves) -> None:
    """Add the values of a HistoryRecord."""
    values: dict[str, Any] = {}
    step: int | None = None
    for number, value in fields(history):
        if number == 1:
            name, content = _item(as_bytes(value))
            values[name] = content
        elif number == 2:
            step = next((as_signed(inner) for field, inner in fields(as_bytes(value)) if field == 1), 0)
    name = next((name for name in STEP_NAMES if as_step(values.get(name)) is not None), "_step")
    record = {trl_key(key): content for key, content in values.items()}
    curves.add_record(record, values.get(name, step), counts_calls=name in LOG_CALLS)


def _item(item: bytes) -> tuple[str, Any]:
    """Return name and value of an item of a history or a config; a nested name is joined by dots."""
    name, nested, content = "", [], None
    for number, value in fields(item):
        if number == 1:
            name = as_text(value)
        elif number == 2:
            nested.append(as_text(value))
        elif number == 16:
            content = _parsed(as_bytes(value))
    return name or ".".join(nested), content


def _parsed(text: bytes) -> Any:
    if len(text) > MAX_JSON:
        return None
    try:
        return parse_json(text, most_digits=LOGGED_DIGITS)
    except ValueError:
        return None


def _records(file: Path, curves: Curves) -> Iterator[bytes]:
    """Yield the records of a file; a damaged piece costs the rest of its block, and is counted in ``curves``."""
    with open_log(file) as handle:
        try:
            pieces = bytearray()
            is_open = False
            for kind, data in _pieces(handle, curves):
                if kind in (FULL, FIRST):
                    pieces, is_open = bytearray(), True
                if is_open and len(pieces) + len(data) <= MAX_RECORD:
                    pieces += data
                else:
                    is_open = False
                if kind in (FULL, LAST) and is_open:
                    yield bytes(pieces)
                    is_open = False
        except OSError as error:
            raise unreadable(file, error) from error


def _pieces(handle: Any, curves: Curves) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of every piece, block by block; kind 0 stands where pieces were lost."""
    place = HEADER
    block = handle.read(BLOCK)
    while block:
        while place + HEADER <= len(block):
            length, kind = int.from_bytes(block[place + 4 : place + 6], "little"), block[place + 6]
            stop = place + HEADER + length
            if kind == length == 0:
                break  # the end of the block is filled with zeros
            data = block[place + HEADER : stop]
            crc = int.from_bytes(block[place : place + 4], "little")
            if stop > len(block) or not FULL <= kind <= LAST or zlib.crc32(data, zlib.crc32(bytes([kind]))) != crc:
                curves.damaged += 1
                curves.lost_bytes += len(block) - place
                yield 0, b""
                break
            yield kind, data
            place = stop
        place = 0
        block = handle.read(BLOCK)
