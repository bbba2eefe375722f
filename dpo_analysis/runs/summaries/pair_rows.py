"""The row of each pair by pair_id, read once per run folder."""

from dataclasses import dataclass, field
from functools import lru_cache

from dpo_analysis.errors import InputError
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.summaries.store import read_rows


def find_pair(run: Run, pair_id: str) -> tuple[int, int]:
    """Return the part and the row of a pair.

    Raises:
        InputError: this run has no such pair.
    """
    row = _rows(_pairs_folder(run)).get(pair_id)
    if row is None:
        raise InputError(f"no pair {pair_id!r} in run {run.path}; take a pair_id from the pair table")
    return row // run.part_size, row


@dataclass(frozen=True, slots=True)
class _PairsFolder:
    """The folder of the pairs and its modification time; the run is only how to read it and is not compared."""

    path: str
    stamp: int
    run: Run = field(compare=False)


def _pairs_folder(run: Run) -> _PairsFolder:
    """Return the folder of the pairs as it is now: each part that is added or replaced changes its time."""
    folder = run.path / "pairs"
    return _PairsFolder(str(folder.resolve()), folder.stat().st_mtime_ns if folder.is_dir() else -1, run)


@lru_cache(maxsize=4)
def _rows(pairs: _PairsFolder) -> dict[str, int]:
    """Return the row of every pair; cached, so that opening the run again reads nothing."""
    table = read_rows(pairs.run)
    return dict(zip(table["pair_id"].to_pylist(), table["row"].to_pylist(), strict=True))
