"""Marks on tokens: what both responses share, and the few tokens that carry most of a fall."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHARE = 0.8
"""Of all that fell, what the tokens that are kept carry together at least."""
ALIKE, OTHER, PAIRED = "=", "x", "-"
"""In the beginning that both responses share; without a partner in the other response; with one further on."""


def differences(first: Sequence[int], second: Sequence[int]) -> tuple[str, str]:
    """One mark per token of two responses: ``ALIKE``, ``OTHER`` or ``PAIRED``.

    Tokens are paired by a shortest edit script of deletions and insertions (a longest common subsequence of the token
    ids), so as few as possible are marked as differing.

    Args:
        first: token ids.
        second: token ids of the other response.
    """
    front = _common(first, second)
    back = _common(first[front:][::-1], second[front:][::-1])
    inner = (first[front : len(first) - back], second[front : len(second) - back])
    pairs = _paired(*inner)
    marks = []
    for side, ids in enumerate(inner):
        kept = {pair[side] for pair in pairs}
        own = "".join(PAIRED if place in kept else OTHER for place in range(len(ids)))
        marks.append(ALIKE * front + own + PAIRED * back)
    return marks[0], marks[1]


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    both = zip(first, second, strict=False)
    return next((place for place, (a, b) in enumerate(both) if a != b), min(len(first), len(second)))


def _paired(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
    """A longest common subsequence as places in both, from the end (Hyyro 2004: rows of the table as bits)."""
    where: dict[int, int] = {}
    for place, token in enumerate(second):
        where[token] = where.get(token, 0) | 1 << place
    whole = (1 << len(second)) - 1
    rows = [whole]
    for token in first:
        row = rows[-1]
        hits = row & where.get(token, 0)
        rows.append(((row + hits) | (row - hits)) & whole)
    pairs, i, j = [], len(first), len(second)
    while i and j:
        if rows[i] >> (j - 1) & 1:
            j -= 1
        elif not rows[i - 1] >> (j - 1) & 1:
            i -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs


def carriers(changes: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """The fewest values below 0 that together make up ``SHARE`` of all that lies below 0; None where nothing does.

    Args:
        changes: any unit, shape (values,); NaN counts as no change.

    Returns:
        bool, shape (values,).
    """
    falls = np.maximum(-np.nan_to_num(changes), 0.0)
    if not falls.sum():
        return None
    order = np.argsort(-falls, kind="stable")
    reached = np.cumsum(falls[order])
    count = int(np.searchsorted(reached, SHARE * reached[-1] * (1 - 1e-12))) + 1
    kept = np.zeros(len(falls), dtype=bool)
    kept[order[:count]] = True
    return kept
