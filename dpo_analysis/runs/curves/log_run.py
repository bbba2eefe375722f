"""Logs of trainers added to a run folder, or a run folder that holds nothing else: no pairs, no models, no scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dpo_analysis.errors import InputError
from dpo_analysis.runs import checksums, locks, manifest
from dpo_analysis.runs.records import Model, Series
from dpo_analysis.runs.run import LOGGED, Run, open_run
from dpo_analysis.runs.safe_files import atomic_write
from dpo_analysis.runs.writer import RunWriter

MAX_NAMED = 8
"""Series that a message names."""


def write_log(
    path: str | Path, curves: pa.Table, series: Sequence[Series], events: Sequence[Mapping[str, Any]] = ()
) -> Run:
    """Add the logs of trainers to a run folder and return the run; a folder that is new or empty holds them alone.

    Args:
        path: the run folder; made where it is missing.
        curves: the logs in ``schema.CURVES_SCHEMA``; they replace the logs of the same series.
        series: the series of ``curves``, which a folder that holds logs alone takes; any other run has to have them.
        events: what log.jsonl keeps about each log.

    Raises:
        InputError: ``path`` is no run folder, or the run has no series of such a name.
        RunBusy: another process is scoring into the folder.
        StorageError: the folder cannot be written or is damaged.
    """
    root = Path(path)
    checksums.make_run_folder(root)
    lock = locks.acquire(root, 0, 1)
    try:
        with locks.guard(root):
            content = _with_series(root, series, set(curves["series"].to_pylist()))
            _write_manifest(root, content, lock.tag)
        writer = RunWriter(root, content["identity"], models=[], lock=lock)
        writer.write_curves(curves)
        for event in events:
            writer.log("log", **event)
        if content["parts"] or content["n_parts"] == 0:
            # The run was finished: it has the checksum of every file, so it gets that of the logs, too.
            with locks.guard(root):
                _write_manifest(root, checksums.with_all_files(root, manifest.load_manifest(root), []), lock.tag)
    finally:
        lock.release()
    return open_run(root)


def _with_series(root: Path, series: Sequence[Series], names: set[str]) -> dict[str, Any]:
    """Return the manifest of the folder, or a new one without pairs and models, with the series of the logs."""
    content: dict[str, Any]
    try:
        content = manifest.load_manifest(root)
    except FileNotFoundError:
        # Every run has a reference, so that nothing has to ask whether there is one; this one has no scores.
        empty = manifest.new_manifest({"source": LOGGED}, [], 1)
        content = empty | {"models": [Model.reference().to_json()]}
    if content["identity"].get("source") == LOGGED:
        new = [one for one in series if one.name not in content["series"]]
        return content | {"series": manifest.merge_series(content["series"], new)}
    unknown = sorted(names - content["series"].keys())
    if unknown:
        known = ", ".join(sorted(content["series"])[:MAX_NAMED])
        raise InputError(
            f"no series {unknown[0]!r} in run {root}: it has {known}; say whose log it is, as --log SERIES=PATH"
        )
    return content


def _write_manifest(root: Path, content: dict[str, Any], tag: str) -> None:
    atomic_write(root / manifest.MANIFEST_FILE, manifest.manifest_bytes(content), point="plan", tag=tag)
