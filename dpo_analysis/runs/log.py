"""log.jsonl: the events of scoring a run, one line each; runs are compared without it."""

import datetime
import json
import os
import socket
from pathlib import Path
from typing import Any

from dpo_analysis.runs import crash_points
from dpo_analysis.runs.safe_files import open_inside, reading, storage_error

LOG_FILE = "log.jsonl"


def append_event(root: Path, event: str, facts: dict[str, Any]) -> None:
    """Append a line with ``event``, its facts, the time (UTC), the process and the host.

    Raises:
        StorageError: the disk is full or refuses.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    record = {"time": now, "event": event, "host": socket.gethostname(), "pid": os.getpid()} | facts
    line = json.dumps(record, default=str).encode() + b"\n"
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
        StorageError: the log cannot be read.
    """
    try:
        with open_inside(root, LOG_FILE) as handle, reading(root / LOG_FILE):
            lines = handle.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [event for event in map(_parse_event, lines) if event is not None]


def _parse_event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
