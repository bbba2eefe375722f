"""Files of a run folder: written whole or not at all, and opened only inside the folder.

File names that are read from a file are not trusted: ``open_inside`` and ``make_dirs`` take a path relative to the run
folder and refuse any path that would leave the folder, symbolic links, and files that are not plain files.
"""

import errno
import hashlib
import io
import os
import re
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from dpo_analysis.errors import InputError, StorageError
from dpo_analysis.runs import crash_points

SAFE_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LONGEST_NAME = 200
"""Bytes of the longest encoded name."""
TEMPORARY_NAME = re.compile(r"\..+\.(?P<tag>\w+)\.[0-9a-f]{32}\.tmp")
"""The temporary names of ``atomic_file``; the tag is the mark of the worker that writes the file."""


def encode_name(name: str) -> str:
    """Return the folder name of a series or model: its UTF-8 bytes, percent-encoded outside ``[A-Za-z0-9._-]``.

    A leading dot is encoded too, so that no name is ``..`` or hidden. ``decode_name`` is the inverse.

    Raises:
        InputError: the name is empty, or longer than 200 bytes when encoded.
    """
    raw = name.encode("utf-8", "surrogatepass")
    encoded = "".join(
        chr(byte) if byte in SAFE_BYTES and not (byte == ord(".") and index == 0) else f"%{byte:02X}"
        for index, byte in enumerate(raw)
    )
    if not encoded:
        raise InputError("empty name for a series or model: a folder is named after it; write SERIES/NAME=MODEL")
    if len(encoded) > LONGEST_NAME:
        raise InputError(f"name {name[:40]!r}...: longer than {LONGEST_NAME} bytes on disk; give a shorter NAME=MODEL")
    return encoded


def decode_name(encoded: str) -> str:
    """Return the name that ``encode_name`` turned into this folder name."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), encoded.encode("ascii"))
    return raw.decode("utf-8", "surrogatepass")


def storage_error(error: OSError, path: Path | str, doing: str = "writing") -> StorageError:
    """Return an error that says in a line what failed on ``path`` and what to do; a full disk is named as such."""
    if error.errno in DISK_FULL:
        return StorageError(
            f"disk full {doing} {path}: {error.strerror}; free space and run the same command again; it continues"
        )
    return StorageError(f"failed {doing} {path}: {error.strerror or error}; check the disk and the permissions")


def path_components(relative: str) -> list[str]:
    """Return the components of a path relative to the run folder, checked to stay inside it.

    Raises:
        StorageError: the path is empty or absolute, or it holds ``..``, a backslash, a colon or NUL.
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(sign in relative for sign in "\\\0:"):
        raise StorageError(
            f"unsafe path {relative!r} in a run folder: it points outside the folder; do not use this run"
        )
    return parts


def open_inside(root: Path, relative: str) -> BinaryIO:
    """Open a plain file of the run folder ``root`` for reading, in binary mode.

    Raises:
        StorageError: the path is unsafe, leads through a symbolic link, or is no plain file.
        FileNotFoundError: there is no such file.
    """
    *folders, name = path_components(relative)
    _refuse_links(root, folders)
    path = root.joinpath(*folders, name)
    try:
        # O_NONBLOCK: opening a FIFO for reading would otherwise wait for its writer for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO) or path.is_symlink():
            raise _not_plain(path) from None
        raise storage_error(error, path, "reading") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_plain(path)
    return os.fdopen(handle, "rb")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError while reading ``path`` into a StorageError; a FileNotFoundError is raised as it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(error, path, "reading") from error


def make_dirs(root: Path, relative: str) -> Path:
    """Make the folder ``relative`` of the run folder ``root`` and return its path; it is synced to the disk.

    Raises:
        StorageError: the path is unsafe, leads through a symbolic link, or the system refuses.
    """
    path = root
    for part in path_components(relative):
        parent, path = path, path / part
        try:
            path.mkdir()
            sync_folder(parent)
        except FileExistsError:
            _refuse_links(parent, [part])
        except OSError as error:
            raise storage_error(error, path, "making") from error
    return path


def _refuse_links(root: Path, folders: list[str]) -> None:
    """Check that each of these nested folders is a folder and no link.

    Raises:
        FileNotFoundError: a folder does not exist.
        StorageError: a component of the path is not a folder, or cannot be read.
    """
    path = root
    for part in folders:
        path = path / part
        try:
            is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise StorageError(f"failed reading {path}: {error}; check the disk and the permissions") from error
        if not is_folder:
            raise _not_plain(path)


def _not_plain(path: Path) -> StorageError:
    return StorageError(f"{path} is a link or a special file: a run folder holds plain files only; remove it")


def sync_folder(path: Path) -> None:
    """Sync the file names in the folder ``path`` to the disk, where the system can."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def atomic_file(path: Path, *, point: str = "file", tag: str = "") -> Iterator[BinaryIO]:
    """Open a file for writing that appears under ``path`` whole, when the block ends, or not at all.

    It is written under a temporary name in the same folder, synced and renamed, and then the folder is synced. When the
    block raises, the temporary file is removed; a killed process leaves it, under a name that has the ``tag``.

    Args:
        path: the path of the file; an existing file is replaced.
        point: the prefix of its crash points.
        tag: the mark of the writer in the temporary name, letters and digits; the process id where empty.

    Raises:
        StorageError: the disk is full or refuses.
    """
    temp = path.with_name(f".{path.name}.{tag or os.getpid()}.{uuid.uuid4().hex}.tmp")
    crash_points.hit(f"{point}.before_temp")
    try:
        with open(temp, "xb") as handle:
            yield handle
            crash_points.hit(f"{point}.before_fsync")
            handle.flush()
            os.fsync(handle.fileno())
        crash_points.hit(f"{point}.before_rename")
        os.replace(temp, path)
        crash_points.hit(f"{point}.after_rename")
        sync_folder(path.parent)
        crash_points.hit(f"{point}.after_sync")
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        # A file system that refuses the write may refuse this too; the first error is what the user needs.
        with suppress(OSError):
            temp.unlink(missing_ok=True)


def atomic_write(path: Path, data: bytes | memoryview, *, point: str = "file", tag: str = "") -> None:
    """Write ``data`` to ``path`` whole or not at all; arguments and errors as in ``atomic_file``."""
    view = memoryview(data)
    with atomic_file(path, point=point, tag=tag) as handle:
        handle.write(view[: len(view) // 2])
        handle.flush()
        crash_points.hit(f"{point}.half_written")
        handle.write(view[len(view) // 2 :])


def sha256_inside(root: Path, relative: str) -> str:
    """Return the sha256 of a file of the run folder, 64 hex digits; raises what ``open_inside`` raises."""
    with open_inside(root, relative) as handle, reading(root / relative):
        return hashlib.file_digest(cast("io.BufferedReader", handle), "sha256").hexdigest()


def known_sha256(root: Path, relative: str) -> str:
    """Return what ``sha256_inside`` returns; a file is read once by this process while its stamps stay the same."""
    with open_inside(root, relative) as handle, reading(root / relative):
        facts = os.fstat(handle.fileno())
        changed = max(facts.st_mtime_ns, facts.st_ctime_ns)
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        digest = _DIGESTS.get(key)
        if digest is None:
            digest = hashlib.file_digest(cast("io.BufferedReader", handle), "sha256").hexdigest()
            # A file that was written just now may be written again within the same tick of the clock.
            if time.time_ns() - changed > SETTLED_NS:
                if len(_DIGESTS) >= MAX_DIGESTS:
                    _DIGESTS.clear()
                _DIGESTS[key] = digest
    return digest


SETTLED_NS = 2_000_000_000
"""Nanoseconds after which the stamps of a file tell every later change."""
MAX_DIGESTS = 100_000
"""Checksums that stay in memory, 300 bytes each."""
_DIGESTS: dict[tuple[int, int, int, int, int], str] = {}
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
