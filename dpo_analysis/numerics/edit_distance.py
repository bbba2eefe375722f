"""Edit distance between token sequences, many pairs at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def normalized_edit_distances(first: Sequence[Ints], second: Sequence[Ints]) -> NDArray[np.float64]:
    """Return each pair's Levenshtein distance over the longer length, a share, shape (pairs,).

    0 for equal sequences, 1 for sequences with nothing in common. Insertions, deletions and substitutions cost 1. One
    row of every pair's table is filled at a time.

    Args:
        first: token ids of one side, one array for each pair.
        second: token ids of the other side.
    """
    n_pairs = len(first)
    lengths = np.array([[len(a), len(b)] for a, b in zip(first, second, strict=True)]).reshape(n_pairs, 2)
    rows, columns = _padded(first, -1), _padded(second, -2)
    across = np.arange(columns.shape[1] + 1)
    row = np.repeat(across[None], n_pairs, axis=0)
    result = np.where(lengths[:, 0] == 0, lengths[:, 1], 0)
    for position in range(rows.shape[1]):
        cost = rows[:, position, None] != columns
        best = np.minimum(row[:, :-1] + cost, row[:, 1:] + 1)
        best = np.concatenate([np.full((n_pairs, 1), position + 1), best], axis=1)
        # An insertion costs 1 a column, so the running minimum of (cell - column) carries the cheapest one along.
        row = np.minimum.accumulate(best - across, axis=1) + across
        ended = lengths[:, 0] == position + 1
        result = np.where(ended, row[np.arange(n_pairs), lengths[:, 1]], result)
    return result / np.maximum(lengths.max(axis=1), 1)


def _padded(sequences: Sequence[Ints], filler: int) -> Ints:
    """Return the sequences as rows, padded with ``filler``, shape (pairs, longest)."""
    grid = np.full((len(sequences), max(map(len, sequences), default=0)), filler, dtype=np.int64)
    for index, ids in enumerate(sequences):
        grid[index, : len(ids)] = ids
    return grid
