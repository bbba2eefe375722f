"""log.jsonl: what happened while a run was scored, one line per event; outside every comparison."""

import datetime
import json
import os
import socket
from pathlib import Path
from typing import Any

from dpo_analysis.runs import crash_points
from dpo_analysis.runs.safe_files import open_inside, reading, storage_error

NAME = "log.jsonl"


def append_event(root: Path, event: str, facts: dict[str, Any]) -> None:
    """Append ``event`` with its facts, the time (UTC), the process and the host, as one line.

    Raises:
        StorageError: the disk is full or refuses.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    record = {"time": now, "event": event, "host": socket.gethostname(), "pid": os.getpid()} | facts
    line = json.dumps(record, default=str).encode() + b"\n"
    path = root / NAME
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            crash_points.hit("log.before")
            # One write: lines of several workers do not mix.
            os.write(handle, b"\n" * torn + line)
            crash_points.hit("log.after")
        finally:
            os.close(handle)
    except OSError as error:
        raise storage_error(error, path) from error


def read_events(root: Path) -> list[dict[str, Any]]:
    """Every whole line of log.jsonl, oldest first; torn ones are left out."""
    try:
        with open_inside(root, NAME) as handle, reading(root / NAME):
            lines = handle.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [event for event in map(_event, lines) if event is not None]


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
