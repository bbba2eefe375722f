"""The ``parts`` of a manifest: path, rows and sha256 of every file of a finished run."""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.runs.manifest import NAME
from dpo_analysis.runs.parquet import read_label
from dpo_analysis.runs.safe_files import TEMP, check_relative, sha256_inside, storage_error

FOLDERS = ("evidence", "generations", "pairs", "probes", "responses", "scores", "summary", "training")
FILES = ("noise.json", "vocab.parquet")
_OURS = re.compile(r"manifest\.json|log\.jsonl|lock\..+|\.DS_Store")


def is_ours(name: str) -> bool:
    """Whether a name at the top of a folder is one that a run folder has, even before its manifest is written."""
    return bool(name in FOLDERS + FILES or _OURS.fullmatch(name) or TEMP.fullmatch(name))


def make_root(root: Path) -> None:
    """Make the folder ``root`` for a run, or take one that is empty or a run folder already.

    Raises:
        InputError: it is a file, or a folder that holds other things.
        StorageError: the system refuses.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"cannot score into {root}: it is a file; give another --out")
    try:
        root.mkdir(parents=True, exist_ok=True)
        foreign = [name for name in sorted(os.listdir(root)) if not is_ours(name)]
    except OSError as error:
        raise storage_error(error, root, "making") from error
    if foreign and not (root / NAME).exists():
        raise InputError(
            f"cannot score into {root}: it is no run folder and holds {foreign[0][:60]!r}; give a new or an empty --out"
        )


def paths(root: Path) -> list[str]:
    """Every file of the run folder that has a checksum, sorted; links, temporary and foreign files are left out."""
    found = [name for name in FILES if is_present(root, name)]
    for top in FOLDERS:
        for folder, folders, files in os.walk(root / top):
            folders.sort()
            relative = Path(folder).relative_to(root).as_posix()
            found += [f"{relative}/{name}" for name in files if name.endswith(".parquet") and not name.startswith(".")]
    return sorted(path for path in found if is_present(root, path))


def is_present(root: Path, relative: str) -> bool:
    """Whether a plain file is there; a path that would leave the folder is refused (StorageError)."""
    path = root.joinpath(*check_relative(relative))
    return path.is_file() and not path.is_symlink()


def entries(root: Path, skip: Collection[str] = ()) -> list[dict[str, Any]]:
    """Path, rows (None for JSON) and sha256 of every file but those in ``skip``."""
    return [_entry(root, path) for path in paths(root) if path not in skip]


def _entry(root: Path, path: str) -> dict[str, Any]:
    rows = read_label(root, path)[1] if path.endswith(".parquet") else None
    return {"path": path, "rows": rows, "sha256": sha256_inside(root, path)}


def without(manifest: dict[str, Any], gone: Iterable[str]) -> dict[str, Any]:
    """The manifest without the entries of some paths."""
    dropped = set(gone)
    return manifest | {"parts": [record for record in manifest["parts"] if record["path"] not in dropped]}


def completed(root: Path, manifest: dict[str, Any], added: list[dict[str, Any]]) -> dict[str, Any]:
    """The manifest with every file listed: what it lists stays, ``added`` joins, and the rest is hashed now.

    Parts never change once written, so ``added`` may have been hashed without holding the manifest's lock.
    """
    known = {record["path"]: record for record in added} | {record["path"]: record for record in manifest["parts"]}
    return manifest | {"parts": [known.get(path) or _entry(root, path) for path in paths(root)]}
