"""log.jsonl: the events of scoring a run, one line each; runs are compared without it.

Each line ends with a checksum of what stands before it: pages and checks say what the log says. Lines of earlier
versions have none, and a line that a crash left incomplete has lost its own.
"""

import datetime
import hashlib
import json
import os
import re
import socket
from pathlib import Path
from typing import Any

from dpo_analysis.errors import StorageError
from dpo_analysis.runs import crash_points
from dpo_analysis.runs.safe_files import open_inside, reading, storage_error
from dpo_analysis.text.bounded_json import STORED_DIGITS, parse_json, read_at_most

LOG_FILE = "log.jsonl"
MAX_LOG_BYTES = 256 * 2**20
"""Bytes of the longest log that is read: ten million pairs at twenty checkpoints have 440,000 events of 200 bytes."""
DIGITS = 16
"""Hex digits of a line's checksum."""
SEAL = re.compile(rb', "checksum": "([0-9a-f]{16})"\}')
"""The end of a line."""
ANY_DIGIT = b"?"[0]
USUAL_END = b', "checksum": "' + b"?" * DIGITS + b'"}'
BROKEN_SIGNS = 2
"""Signs of the end of a line that may differ for it to count as a changed end, and not as a line without one."""


def append_event(root: Path, event: str, facts: dict[str, Any]) -> None:
    """Append a line with ``event``, its facts, the time (UTC), the process and the host.

    Raises:
        StorageError: the disk is full or refuses.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    record = {"time": now, "event": event, "host": socket.gethostname(), "pid": os.getpid()} | facts
    line = _sealed(json.dumps(record, default=str).encode()) + b"\n"
    path = root / LOG_FILE
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            crash_points.hit("log.before")
            # A single write, so that the lines of several workers do not mix.
            os.write(handle, b"\n" * torn + line)
            crash_points.hit("log.after")
        finally:
            os.close(handle)
    except OSError as error:
        raise storage_error(error, path) from error


def read_events(root: Path) -> list[dict[str, Any]]:
    """Return the events of log.jsonl, oldest first; lines that a crash left incomplete are left out.

    Raises:
        StorageError: the log cannot be read, is over 256 MiB, or has a line that is not as it was written.
    """
    try:
        with open_inside(root, LOG_FILE) as handle, reading(root / LOG_FILE):
            data = read_at_most(handle, MAX_LOG_BYTES)
    except FileNotFoundError:
        return []
    if len(data) > MAX_LOG_BYTES:
        raise StorageError(f"unreadable {root / LOG_FILE}: over {MAX_LOG_BYTES >> 20} MiB; move it away")
    events = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if _is_changed(line):
            raise StorageError(
                f"damaged {root / LOG_FILE}: line {number} is not as it was written; remove this line, it has no scores"
            )
        event = _parse_event(line)
        if event is not None:
            events.append(event)
    return events


def _sealed(record: bytes) -> bytes:
    """Return a JSON object with its checksum as a last field."""
    digest = hashlib.sha256(record).hexdigest()[:DIGITS]
    return record[:-1] + f', "checksum": "{digest}"}}'.encode()


def _is_changed(line: bytes) -> bool:
    """Return whether a line has a checksum that is not its own, or an end that was a checksum."""
    seal = SEAL.search(line)
    if seal is not None:
        return seal.end() != len(line) or _sealed(line[: seal.start()] + b"}") != line
    if len(line) < len(USUAL_END):
        return False
    pairs = zip(line[-len(USUAL_END) :], USUAL_END, strict=True)
    return sum(sign != usual for sign, usual in pairs if usual != ANY_DIGIT) <= BROKEN_SIGNS


def _parse_event(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line, without its checksum; None for a line that is no JSON object."""
    try:
        event = parse_json(line.decode("utf-8", "replace"), most_digits=STORED_DIGITS)
    except ValueError:
        return None
    return {name: value for name, value in event.items() if name != "checksum"} if isinstance(event, dict) else None
