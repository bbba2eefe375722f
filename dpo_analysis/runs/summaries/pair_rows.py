"""The row of each pair by pair_id, read once per run folder."""

from functools import lru_cache

from dpo_analysis.errors import InputError
from dpo_analysis.runs.file_stamps import FileStamps, file_stamps
from dpo_analysis.runs.run import Run
from dpo_analysis.runs.summaries.store import read_pair_rows


def find_pair(run: Run, pair_id: str) -> tuple[int, int]:
    """Return the part and the row of a pair.

    Raises:
        InputError: this run has no such pair.
    """
    row = _rows(file_stamps(run, "pairs")).get(pair_id)
    if row is None:
        raise InputError(f"no pair {pair_id!r} in run {run.path}; take a pair_id from the pair table")
    return row // run.part_size, row


@lru_cache(maxsize=4)
def _rows(files: FileStamps) -> dict[str, int]:
    """Return the row of every pair; cached, so that opening the run again reads nothing."""
    table = read_pair_rows(files.run)
    return dict(zip(table["pair_id"].to_pylist(), table["row"].to_pylist(), strict=True))
