"""Files of a training log, opened without waiting: plain files only, of a bounded size."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from dpo_analysis.errors import InputError
from dpo_analysis.text.bounded_json import read_at_most

MAX_BYTES = 2 * 2**30
"""Bytes of the largest log that is read piece by piece."""
MAX_JSON_BYTES = 256 * 2**20
"""Bytes of the largest log that is read into memory whole."""


def open_log(path: Path, most: int = MAX_BYTES) -> BinaryIO:
    """Open a training log for reading, in binary mode.

    Args:
        path: the file; links are followed.
        most: the largest size in bytes.

    Raises:
        InputError: it cannot be opened, is no plain file (a folder, a pipe, a device), or is larger than ``most``.
    """
    try:
        # O_NONBLOCK: opening a pipe would otherwise wait for its writer for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise InputError(f"unreadable training log {path}: it is no plain file; name a log that a trainer wrote")
    if status.st_size > most:
        os.close(handle)
        raise InputError(f"training log {path} is larger than {most >> 20} MiB; cut it down and try again")
    return os.fdopen(handle, "rb")


def read_whole(path: Path, most: int = MAX_JSON_BYTES) -> bytes:
    """Return the bytes of a training log; arguments and errors as ``open_log``."""
    with open_log(path, most) as handle:
        try:
            data = read_at_most(handle, most)
        except OSError as error:
            raise unreadable(path, error) from error
    if len(data) > most:
        raise InputError(f"training log {path} grew beyond {most >> 20} MiB while it was read; try again")
    return data


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the error for a log that the system does not let us read."""
    why = getattr(error, "strerror", None) or str(error)
    return InputError(f"unreadable training log {path}: {why}; check the path and permissions")


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
