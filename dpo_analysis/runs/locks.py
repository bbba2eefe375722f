"""One process for each share of the work, by locks that the kernel frees when their holder dies.

``lock.<i>of<n>`` belongs to the worker of shard i of n, ``lock.manifest`` to whoever changes the manifest. Both are
flock locks on files that are removed when they are given back; a file without a holder means nothing.
"""

import errno
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dpo_analysis.errors import InputError, RunBusy, StorageError
from dpo_analysis.runs import crash_points
from dpo_analysis.runs.safe_files import TEMP, storage_error

try:
    import fcntl
except ImportError:  # Windows reads run folders, it cannot score into them
    fcntl = None

SHARD_LOCK = re.compile(r"lock\.(\d+)of(\d+)")
MANIFEST_LOCK = "lock.manifest"
PATIENCE = 60.0
"""Seconds to wait for another worker that changes the manifest, which takes it milliseconds."""
GLANCE = 0.02
"""Seconds after which a lock is tried again: ``held_shards`` holds what it looks at for microseconds."""


class ShardLock:
    """The right to score shard ``index`` of ``count`` into a run folder; made by ``acquire``."""

    def __init__(self, path: Path, handle: int, shard: tuple[int, int]) -> None:
        """Hold the open and locked file ``path``."""
        self.path, self.handle, self.shard = path, handle, shard

    @property
    def tag(self) -> str:
        """What temporary files of this worker are marked with."""
        return "{}of{}".format(*self.shard)

    def release(self) -> None:
        """Give the shard back; twice does no harm."""
        if self.handle >= 0:
            _give_back(self.path, self.handle)
            self.handle = -1
            crash_points.hit("unlocked")


def acquire(root: Path, index: int, count: int) -> ShardLock:
    """Take shard ``index`` of ``count`` of the run folder ``root``, at once or not at all.

    Raises:
        RunBusy: another process holds this shard; its process id and host are told.
        InputError: workers with another count are at work.
        StorageError: the file system has no locks or refuses.
    """
    if not 0 <= index < count:
        raise InputError(f"bad shard {index}/{count}: it is I/N with 0 <= I < N; write 0/2 and 1/2 for two workers")
    path = root / f"lock.{index}of{count}"
    with guard(root):
        handle = _try_twice(path)
        if handle is None:
            raise RunBusy(
                f"run folder {root} is in use: shard {index} of {count} is held by {_holder(path)}; "
                "wait until it ends, or stop it, and run again"
            )
        try:
            _refuse_other_counts(root, count)
            holder = {"host": socket.gethostname(), "pid": os.getpid()}
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(holder).encode(), 0)
        except OSError as error:
            _give_back(path, handle)
            raise storage_error(error, path) from error
        except InputError:
            _give_back(path, handle)
            raise
    crash_points.hit("locked")
    return ShardLock(path, handle, (index, count))


@contextmanager
def guard(root: Path) -> Iterator[None]:
    """Be the only one who takes locks, changes the manifest or sweeps temporary files of ``root``.

    Raises:
        RunBusy: somebody else held it for a minute.
        StorageError: the file system has no locks or refuses.
    """
    path = root / MANIFEST_LOCK
    start = time.monotonic()
    while (handle := _try_lock(path)) is None:
        if time.monotonic() - start > PATIENCE:
            raise RunBusy(f"run folder {root} is in use: {path.name} was held for a minute; find out by whom")
        time.sleep(0.002)
    try:
        yield
    finally:
        _give_back(path, handle)


def held_shards(root: Path) -> list[str]:
    """The locks (``lock.0of2``) of workers that live, sorted; nothing is written, and a read-only folder will do.

    Raises:
        StorageError: the folder cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(root) if SHARD_LOCK.fullmatch(name))
    except OSError as error:
        raise storage_error(error, root, "reading") from error
    return [name for name in names if _is_locked(root / name)]


def _is_locked(path: Path) -> bool:
    """Whether another process has locked this file, asked by a shared lock that is given back at once."""
    if fcntl is None:
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_UN)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES)
    finally:
        os.close(handle)
    return False


def sweep(root: Path, own: str) -> None:
    """Remove temporary files whose writers are dead, or are this worker (``own`` tag); only within ``guard``."""
    for folder, names, files in os.walk(root):
        names.sort()
        for name in files:
            match = TEMP.fullmatch(name)
            if match and (match["tag"] == own or not _held(root / f"lock.{match['tag']}")):
                Path(folder, name).unlink(missing_ok=True)


def _refuse_other_counts(root: Path, count: int) -> None:
    for name in sorted(os.listdir(root)):
        match = SHARD_LOCK.fullmatch(name)
        if match and int(match[2]) != count and _held(root / name):
            raise InputError(
                f"run folder {root} is being scored by {match[2]} workers ({name} is held by {_holder(root / name)}), "
                f"not {count}: parts are shared out by that number; use --shard I/{match[2]}, or wait until they end"
            )


def _held(path: Path) -> bool:
    if not path.exists():
        return False
    handle = _try_twice(path)
    if handle is None:
        return True
    _give_back(path, handle)
    return False


def _try_twice(path: Path) -> int | None:
    handle = _try_lock(path)
    if handle is None:
        time.sleep(GLANCE)
        handle = _try_lock(path)
    return handle


def _try_lock(path: Path) -> int | None:
    """An open file that this process has locked, or None when another one has."""
    if fcntl is None:
        raise StorageError(f"no file locks for {path}: this system has no flock; score on Linux or macOS")
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before us may have removed the name between our open and our lock.
            if _same_file(path, handle):
                return handle
            os.close(handle)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise storage_error(error, path, "locking") from error


def _same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _give_back(path: Path, handle: int) -> None:
    if _same_file(path, handle):
        path.unlink(missing_ok=True)
    # Closing alone would leave the lock to a forked child that inherited the file.
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def _holder(path: Path) -> str:
    try:
        found = json.loads(path.read_bytes()[:4096])
        return f"process {int(found['pid'])} on host {str(found['host'])[:64]!r}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
