"""Is anybody scoring into a run folder right now, and when was its last part written? Looked up without writing."""

import os
from dataclasses import dataclass
from pathlib import Path

from dpo_analysis.runs.locks import held_shards

SCORES = "scores"


@dataclass(frozen=True, slots=True)
class Activity:
    """``workers``: shards that a living process holds; ``last_part``: seconds since 1970, None before the first one."""

    workers: int
    last_part: float | None


def activity(root: Path) -> Activity:
    """What goes on in the run folder ``root``, as far as this machine can see.

    A lock counts while its holder lives. Where the file system keeps locks to each machine, workers elsewhere are not
    seen; the time of the last part still tells. Parts are renamed into place, so their folder's time is theirs.
    """
    folders = [Path(folder) for folder, _, files in os.walk(root / SCORES) if any(_is_part(name) for name in files)]
    written = max((folder.stat().st_mtime for folder in folders), default=None)
    return Activity(len(held_shards(root)), written)


def _is_part(name: str) -> bool:
    return name.endswith(".parquet") and not name.startswith(".")
