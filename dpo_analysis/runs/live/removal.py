"""Checkpoints taken out of a run folder, because a resumed training reaches their steps again with other weights."""

import re
from contextlib import suppress
from pathlib import Path

from dpo_analysis.runs import checksums, locks, manifest
from dpo_analysis.runs.parts import scores_folder
from dpo_analysis.runs.records import Model
from dpo_analysis.runs.safe_files import atomic_write, encode_name


def remove_later_models(root: Path, series: str, step: int) -> list[Model]:
    """Remove the checkpoints of ``series`` after ``step`` and return them; a folder without a manifest has none.

    A checkpoint without scores is removed at any step: its scoring was killed before it ended. Files of the series that
    belong to no checkpoint of the manifest go as well: a removal that was killed leaves them.

    Raises:
        RunBusy: another process is scoring into the folder.
        StorageError: the folder is damaged, or cannot be written.
    """
    if not (root / manifest.MANIFEST_FILE).is_file():
        return []
    lock = locks.acquire(root, 0, 1)
    try:
        with locks.guard(root):
            content = manifest.load_manifest(root)
            models = [Model.from_json(record) for record in content["models"]]
            gone = [
                model
                for model in models
                if model.series == series and ((model.step or 0) > step or not (root / scores_folder(model)).is_dir())
            ]
            kept = [model for model in models if model not in gone]
            files = _files_of_other_models(root, series, {encode_name(m.name) for m in kept if m.series == series})
            # The manifest first: a file that it does not list is passed over, a listed file that is gone is damage.
            content = checksums.without_files(content, files) | {"models": [model.to_json() for model in kept]}
            atomic_write(root / manifest.MANIFEST_FILE, manifest.manifest_bytes(content), point="plan", tag=lock.tag)
            for path in files:
                (root / path).unlink(missing_ok=True)
                # a checkpoint without scores is known by the folder that is missing
                _remove_if_empty((root / path).parent)
    finally:
        lock.release()
    return gone


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _files_of_other_models(root: Path, series: str, names: set[str]) -> list[str]:
    """Return the files of ``series`` whose model, as it is encoded on disk, is not in ``names``."""
    of_model = re.compile(rf".+/{re.escape(encode_name(series))}/([^/]+?)(?:/part-\d+)?\.parquet")
    matches = ((path, of_model.fullmatch(path)) for path in checksums.listed_paths(root))
    return [path for path, match in matches if match and match[1] not in names]
