"""Locks that give each share of a run to one process; the kernel frees them when the process that holds them dies.

``lock.<i>of<n>`` belongs to the worker of shard i of n, ``lock.manifest`` to the process that changes the manifest.
The files stay when a lock is given back: a file that no process has locked means nothing.
"""

import errno
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dpo_analysis.errors import InputError, RunBusy, StorageError
from dpo_analysis.runs import crash_points
from dpo_analysis.runs.safe_files import TEMPORARY_NAME, storage_error

if TYPE_CHECKING:
    from filelock import BaseFileLock

try:
    import fcntl
except ImportError:  # Windows reads run folders, it cannot score into them
    fcntl = None

SHARD_LOCK = re.compile(r"lock\.(\d+)of(\d+)")
MANIFEST_LOCK = "lock.manifest"
MANIFEST_PATIENCE = 60.0
"""Seconds to wait for another worker that changes the manifest, which takes it milliseconds."""
SHARD_PATIENCE = 0.02
"""Seconds to wait for the lock of a shard: ``held_shards`` holds a lock that it looks at for microseconds."""
POLL_INTERVAL = 0.002
"""Seconds between two tries."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What flock answers where the file system has no locks."""


class ShardLock:
    """The right to score a shard into a run folder; made by ``acquire``."""

    def __init__(self, path: Path, lock: "BaseFileLock", shard: tuple[int, int]) -> None:
        """Keep ``lock``, which this process holds on the file ``path``, for ``shard``: its index and their number."""
        self.path, self.lock, self.shard = path, lock, shard

    @property
    def tag(self) -> str:
        """The mark of this worker in the names of its temporary files."""
        return "{}of{}".format(*self.shard)

    def release(self) -> None:
        """Give the shard back; twice does no harm."""
        if self.lock.is_locked:
            # The file stays behind; empty, it does not name a process that holds nothing any more.
            with suppress(OSError):
                os.close(os.open(self.path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW))
            self.lock.release()
            crash_points.hit("unlocked")


def acquire(root: Path, index: int, count: int) -> ShardLock:
    """Take shard ``index`` of ``count`` of the run folder ``root``, at once or not at all.

    Raises:
        RunBusy: another process holds this shard; the message names its process id and host.
        InputError: workers with another count are at work.
        StorageError: the file system has no locks or refuses.
    """
    if not 0 <= index < count:
        raise InputError(f"bad shard {index}/{count}: it is I/N with 0 <= I < N; write 0/2 and 1/2 for two workers")
    path = root / f"lock.{index}of{count}"
    with guard(root), ExitStack() as undo:
        lock = try_lock(path, SHARD_PATIENCE, on_acquired=_write_holder)
        if lock is None:
            raise RunBusy(
                f"run folder {root} is in use: shard {index} of {count} is held by {_holder(path)}; "
                "wait until it ends, or stop it, and run again"
            )
        undo.callback(lock.release)
        _refuse_other_counts(root, count)
        undo.pop_all()
    crash_points.hit("locked")
    return ShardLock(path, lock, (index, count))


@contextmanager
def guard(root: Path) -> Iterator[None]:
    """Be the only process that takes locks, changes the manifest or sweeps temporary files of ``root``.

    Raises:
        RunBusy: another process held the lock for a minute.
        StorageError: the file system has no locks or refuses.
    """
    path = root / MANIFEST_LOCK
    lock = try_lock(path, MANIFEST_PATIENCE)
    if lock is None:
        raise RunBusy(f"run folder {root} is in use: {path.name} was held for a minute; find out by whom")
    try:
        yield
    finally:
        lock.release()


def held_shards(root: Path) -> list[str]:
    """Return the locks (``lock.0of2``) of living workers, sorted; a read-only folder will do, as nothing is written.

    Raises:
        StorageError: the folder cannot be read.
    """
    held = []
    for name in _shard_locks(root):
        with suppress(OSError):
            if _probe(root / name):
                held.append(name)
    return held


def sweep(root: Path, tag: str) -> None:
    """Remove the temporary files of dead workers and of the worker with this ``tag``; only within ``guard``."""
    for folder, names, files in os.walk(root):
        names.sort()
        for name in files:
            match = TEMPORARY_NAME.fullmatch(name)
            if match and (match["tag"] == tag or not is_held(root / f"lock.{match['tag']}")):
                Path(folder, name).unlink(missing_ok=True)


def _refuse_other_counts(root: Path, count: int) -> None:
    """Check that no worker of another number of shards is at work; InputError if there is one."""
    for name in _shard_locks(root):
        workers = name.rpartition("of")[2]
        if int(workers) != count and is_held(root / name):
            raise InputError(
                f"run folder {root} is being scored by {workers} workers ({name} is held by {_holder(root / name)}), "
                f"not {count}: all workers must name the same number; use --shard I/{workers}, or wait until they end"
            )


def _shard_locks(root: Path) -> list[str]:
    """Return the names of all lock files of shards, held or not, sorted."""
    try:
        return sorted(name for name in os.listdir(root) if SHARD_LOCK.fullmatch(name))
    except OSError as error:
        raise storage_error(error, root, "reading") from error


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock ``path``; StorageError where the file cannot be opened."""
    try:
        return _probe(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(error, path, "reading") from error


def _probe(path: Path) -> bool:
    """Return whether a living process holds the lock ``path``, tried by a shared lock that is given back at once."""
    if fcntl is None:
        return False
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # Closing alone would leave the lock to a forked child that inherited the file.
        fcntl.flock(handle, fcntl.LOCK_UN)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return True
        raise
    finally:
        os.close(handle)
    return False


def try_lock(path: Path, patience: float, on_acquired: Callable[[int], None] | None = None) -> "BaseFileLock | None":
    """Lock the file ``path`` for this process; None when another process still holds it after ``patience`` seconds."""
    # Imported where it is needed: it takes longer than opening a run, and readers lock nothing.
    from filelock import FileLock, Timeout

    if fcntl is None:
        raise StorageError(f"no file locks for {path}: this system has no flock; score on Linux or macOS")
    # Its stand-in for file systems without flock, a file that exists, would outlive a killed process.
    lock = FileLock(path, fallback_to_soft=False, thread_local=False, on_acquired=on_acquired)
    try:
        lock.acquire(timeout=patience, poll_interval=POLL_INTERVAL)
    except Timeout:
        return None
    except OSError as error:
        raise storage_error(error, path, "locking" if error.errno in NO_LOCKS else "writing") from error
    return lock


def _write_holder(handle: int) -> None:
    """Write host and process id into the open lock file, for the message of a process that is refused."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode(), 0)


def _holder(path: Path) -> str:
    """Return who holds the lock ``path``, in words for a message."""
    try:
        holder = json.loads(path.read_bytes()[:4096])
        return f"process {int(holder['pid'])} on host {str(holder['host'])[:64]!r}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another process"
