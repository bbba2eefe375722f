"""The state of the files that a cached result was read from, as a key that changes with any of the files."""

import os
import stat
from dataclasses import dataclass, field

from dpo_analysis.runs.run import Run

ABSENT = (-1, -1)


@dataclass(frozen=True, slots=True)
class FileStamps:
    """Key of a cached result: two are equal while every file that the result was read from is unchanged.

    Attributes:
        path: the run folder, without symbolic links.
        stamps: for each file or folder its modification time in nanoseconds, and its bytes or its number of entries.
        label: what else the result depends on, such as the model's key and weights.
        run: only how the files are read, and not compared: a run that is opened again finds the cached result.
    """

    path: str
    stamps: tuple[tuple[int, int], ...]
    label: str
    run: Run = field(compare=False)


def file_stamps(run: Run, *paths: str, label: str = "") -> FileStamps:
    """Return the stamps of some files and folders of ``run``, given relative to it, as they are now.

    A folder is enough for the parts in it: they all come by renaming, so each one added or replaced changes its time.
    """
    stamps = tuple(_stamp(f"{run.path}/{path}") for path in paths)
    return FileStamps(os.path.realpath(run.path), stamps, label, run)


def _stamp(path: str) -> tuple[int, int]:
    """Return modification time (ns) and size: bytes of a file, entries of a folder; ``ABSENT`` where there is none."""
    try:
        facts = os.stat(path)
        return facts.st_mtime_ns, len(os.listdir(path)) if stat.S_ISDIR(facts.st_mode) else facts.st_size
    except FileNotFoundError:
        return ABSENT
