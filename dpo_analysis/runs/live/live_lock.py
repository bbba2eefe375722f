"""The lock of a process that will add checkpoints to a run folder; pages refresh by themselves while it is held."""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dpo_analysis.errors import StorageError
from dpo_analysis.runs import locks

if TYPE_CHECKING:
    from filelock import BaseFileLock

LIVE_LOCK = "lock.live"
TRAINING, WATCH = "training", "watch"
"""What the holder of the lock is: a training with the callback, or ``score --watch``."""
MAX_BYTES = 4096


class LiveLock:
    """The lock of a run folder that grows; made by ``hold_live_lock``."""

    def __init__(self, path: Path, lock: "BaseFileLock") -> None:
        """Keep ``lock``, which this process holds on the file ``path``."""
        self._path, self._lock = path, lock

    def release(self) -> None:
        """Give the lock back; twice does no harm."""
        if self._lock.is_locked:
            with suppress(OSError):
                os.truncate(self._path, 0)
            self._lock.release()


def hold_live_lock(root: Path, holder: str) -> LiveLock | None:
    """Return the lock of the run folder ``root``, held for ``holder``; None where another process holds it.

    Raises:
        StorageError: the file system has no locks or refuses.
    """
    content = json.dumps({"holder": holder, "host": socket.gethostname(), "pid": os.getpid()}).encode()

    def write(handle: int) -> None:
        os.ftruncate(handle, 0)
        os.pwrite(handle, content, 0)

    path = root / LIVE_LOCK
    lock = locks.try_lock(path, locks.SHARD_PATIENCE, on_acquired=write)
    return None if lock is None else LiveLock(path, lock)


def live_holder(root: Path) -> str:
    """Return whether a living process holds the lock of the run folder: ``TRAINING``, ``WATCH``, or empty for none.

    Where the file system keeps locks to each machine, processes on other machines are not seen.
    """
    path = root / LIVE_LOCK
    try:
        if path.is_symlink() or not path.is_file() or not locks.is_held(path):
            return ""
        holder = json.loads(path.read_bytes()[:MAX_BYTES])["holder"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, StorageError):
        return ""
    return holder if holder in (TRAINING, WATCH) else ""
