"""Marks on tokens: what both responses share, and the few tokens that carry most of a fall."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_SHARE = 0.8
"""Share of all falls that the largest falls make up together at least."""
PREFIX, DIFFERENT, PAIRED = "=", "x", "-"
"""A token of the prefix that both responses share; one without a partner in the other response; one with a partner."""


def difference_marks(first: Sequence[int], second: Sequence[int]) -> tuple[str, str]:
    """Return one mark per token of two responses: ``PREFIX``, ``DIFFERENT`` or ``PAIRED``.

    Tokens are paired by a shortest edit script of deletions and insertions (a longest common subsequence of the token
    ids), so as few as possible are marked as different.

    Args:
        first: token ids.
        second: token ids of the other response.
    """
    prefix = _common_prefix(first, second)
    suffix = _common_prefix(first[prefix:][::-1], second[prefix:][::-1])
    middles = (first[prefix : len(first) - suffix], second[prefix : len(second) - suffix])
    pairs = _longest_common_subsequence(*middles)
    marks = []
    for side, ids in enumerate(middles):
        paired = {pair[side] for pair in pairs}
        middle = "".join(PAIRED if place in paired else DIFFERENT for place in range(len(ids)))
        marks.append(PREFIX * prefix + middle + PAIRED * suffix)
    return marks[0], marks[1]


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    both = zip(first, second, strict=False)
    return next((place for place, (a, b) in enumerate(both) if a != b), min(len(first), len(second)))


def _longest_common_subsequence(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
    """Return the places of a longest common subsequence in both, from the end (Hyyro 2004: table rows as bits)."""
    bits_of: dict[int, int] = {}
    for place, token in enumerate(second):
        bits_of[token] = bits_of.get(token, 0) | 1 << place
    all_bits = (1 << len(second)) - 1
    rows = [all_bits]
    for token in first:
        row = rows[-1]
        hits = row & bits_of.get(token, 0)
        rows.append(((row + hits) | (row - hits)) & all_bits)
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


def largest_falls(changes: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Return which values are the fewest that make up ``MIN_SHARE`` of the sum of all values below 0.

    Args:
        changes: any unit, shape (values,); NaN counts as no change.

    Returns:
        bool, shape (values,); None where no value is below 0.
    """
    falls = np.maximum(-np.nan_to_num(changes), 0.0)
    if not falls.sum():
        return None
    order = np.argsort(-falls, kind="stable")
    reached = np.cumsum(falls[order])
    count = int(np.searchsorted(reached, MIN_SHARE * reached[-1] * (1 - 1e-12))) + 1
    kept = np.zeros(len(falls), dtype=bool)
    kept[order[:count]] = True
    return kept
