"""Whether a process is scoring into a run folder, and when its last part was written; looked up without writing."""

import os
from dataclasses import dataclass
from pathlib import Path

from dpo_analysis.runs.locks import held_shards

SCORES = "scores"


@dataclass(frozen=True, slots=True)
class Activity:
    """The scoring that goes on in a run folder.

    Attributes:
        workers: number of shards that a living process holds.
        last_part: when the last part was written, seconds since 1970; None before the first part.
    """

    workers: int
    last_part: float | None


def activity(root: Path) -> Activity:
    """Return the activity in the run folder ``root``, as far as this machine can see it.

    A lock file counts only while a process holds its lock. Where the file system keeps locks to each machine, workers
    on other machines are not seen; the time of the last part still tells of them.

    Raises:
        StorageError: the folder cannot be read.
    """
    # Parts are renamed into place, so the time of their folder is the time of the last part.
    folders = [Path(folder) for folder, _, files in os.walk(root / SCORES) if any(_is_part(name) for name in files)]
    last_part = max((folder.stat().st_mtime for folder in folders), default=None)
    return Activity(len(held_shards(root)), last_part)


def _is_part(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(".")
