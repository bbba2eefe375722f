"""Checksums of the files of a run: the ``parts`` of its manifest, with the path, rows and sha256 of every file."""

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError, RunBusy
from dpo_analysis.runs.manifest import MANIFEST_FILE
from dpo_analysis.runs.parquet import read_label
from dpo_analysis.runs.safe_files import TEMPORARY_NAME, path_components, sha256_inside, storage_error

Manifest = dict[str, Any]
FileRecord = dict[str, Any]
"""``path`` of a file relative to the run folder, its ``rows`` (None for JSON) and its ``sha256``."""
FOLDERS = ("evidence", "generations", "pairs", "probes", "responses", "scores", "summary", "training")
FILES = ("noise.json", "vocab.parquet")
_UNLISTED = re.compile(r"manifest\.json|log\.jsonl|lock\..+|\.DS_Store")
"""Names that a run folder may hold beside ``FOLDERS`` and ``FILES``; they have no checksum."""


def is_run_file(name: str) -> bool:
    """Return whether a run folder may hold a file or folder of this name at its top, even before it has a manifest."""
    return bool(name in FOLDERS + FILES or _UNLISTED.fullmatch(name) or TEMPORARY_NAME.fullmatch(name))


def make_run_folder(root: Path) -> None:
    """Make the folder ``root`` for a run, unless it is an empty folder or a run folder already.

    Raises:
        InputError: ``root`` is a file, or a folder that holds other things.
        StorageError: the system refuses.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"cannot score into {root}: it is a file; give another --out")
    try:
        root.mkdir(parents=True, exist_ok=True)
        foreign = [name for name in sorted(os.listdir(root)) if not is_run_file(name)]
    except OSError as error:
        raise storage_error(error, root, "making") from error
    if foreign and not (root / MANIFEST_FILE).exists():
        raise InputError(
            f"cannot score into {root}: it is no run folder and holds {foreign[0][:60]!r}; give a new or an empty --out"
        )


@contextmanager
def removed_if_failed(root: Path) -> Iterator[None]:
    """Remove the run folder ``root`` if the block raises an error and ``root`` was missing or empty before it.

    A folder that another process has begun meanwhile stays, and so does what was there before.
    """
    existed = root.exists()
    was_empty = not existed or (root.is_dir() and not any(root.iterdir()))
    try:
        yield
    except RunBusy:
        raise
    except Exception:
        if was_empty and root.is_dir():
            _remove_run_files(root, keep_folder=existed)
        raise


def _remove_run_files(root: Path, *, keep_folder: bool) -> None:
    for path in root.iterdir():
        if is_run_file(path.name):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    if not keep_folder:
        with suppress(OSError):
            root.rmdir()


def listed_paths(root: Path) -> list[str]:
    """Return the path of every file of the run folder that has a checksum, sorted, relative to the folder.

    Links, temporary files, locks and files that are not of a run are left out.
    """
    paths = [name for name in FILES if is_plain_file(root, name)]
    for top in FOLDERS:
        for folder, folders, files in os.walk(root / top):
            folders.sort()
            relative = Path(folder).relative_to(root).as_posix()
            paths += [f"{relative}/{name}" for name in files if name.endswith(".parquet") and not name.startswith(".")]
    return sorted(path for path in paths if is_plain_file(root, path))


def is_plain_file(root: Path, relative: str) -> bool:
    """Return whether ``relative`` is a plain file of the run folder ``root``.

    Raises:
        StorageError: the path would leave the folder.
    """
    path = root.joinpath(*path_components(relative))
    return path.is_file() and not path.is_symlink()


def file_records(root: Path, skip: Collection[str] = ()) -> list[FileRecord]:
    """Return the record of every file of the run folder except those in ``skip``; each file is read whole."""
    return [_file_record(root, path) for path in listed_paths(root) if path not in skip]


def _file_record(root: Path, path: str) -> FileRecord:
    rows = read_label(root, path)[1] if path.endswith(".parquet") else None
    return {"path": path, "rows": rows, "sha256": sha256_inside(root, path)}


def without_files(manifest: Manifest, paths: Iterable[str]) -> Manifest:
    """Return the manifest without the records of the files ``paths``."""
    dropped = set(paths)
    return manifest | {"parts": [record for record in manifest["parts"] if record["path"] not in dropped]}


def with_all_files(root: Path, manifest: Manifest, added: list[FileRecord]) -> Manifest:
    """Return the manifest with the record of every file: those it has, those in ``added``, and new ones for the rest.

    Parts never change once written, so ``added`` may have been hashed without holding the manifest's lock.
    """
    records = {record["path"]: record for record in added} | {record["path"]: record for record in manifest["parts"]}
    return manifest | {"parts": [records.get(path) or _file_record(root, path) for path in listed_paths(root)]}
