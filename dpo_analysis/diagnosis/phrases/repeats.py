"""Word sequences that stand in many responses and cannot be made longer without losing many of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.numerics.segments import segment_positions

Ints = NDArray[np.int64]
LONGEST_PHRASE = 24
"""Words of a phrase at most."""
KEPT_BY_LONGER = 0.7
"""Share of a sequence's responses that a longer one must keep to replace it."""


class Repeat(NamedTuple):
    """A word sequence that several responses have.

    Attributes:
        n_words: words of the sequence.
        starts: index of its first word at each place where it stands, shape (places,).
        n_pairs: responses that it stands in.
    """

    n_words: int
    starts: Ints
    n_pairs: int


def find_repeats(codes: Ints, pair: Ints, least_pairs: int) -> list[Repeat]:
    """Return the longest word sequences that at least ``least_pairs`` responses have.

    A sequence is left out where a longer one around it stands in at least ``KEPT_BY_LONGER`` of its responses.

    Args:
        codes: number of each word, shape (words,).
        pair: number of the response of each word, shape (words,), not falling.
        least_pairs: responses that a sequence must stand in.
    """
    starts, names, left = np.arange(len(codes)), codes, _words_left(pair)
    levels: list[list[Repeat]] = []
    for n_words in range(1, LONGEST_PHRASE + 1):
        starts, names, repeats = _frequent(starts, names, pair, n_words, least_pairs)
        if not repeats:
            break
        levels.append(repeats)
        longer = left[starts] > n_words
        starts = starts[longer]
        keys = np.stack([names[longer], codes[starts + n_words]], axis=1)
        names = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1) if len(keys) else names[:0]
    return _maximal(levels, len(codes))


def _words_left(pair: Ints) -> Ints:
    """Return how many words of its response stand from each word on, the word itself among them, shape (words,)."""
    lengths = np.unique(pair, return_counts=True)[1]
    return np.repeat(lengths, lengths) - segment_positions(lengths)


def _frequent(starts: Ints, names: Ints, pair: Ints, n_words: int, least_pairs: int) -> tuple[Ints, Ints, list[Repeat]]:
    """Return the places and names of the sequences that enough responses have, and these sequences."""
    order = np.argsort(names, kind="stable")
    starts, names = starts[order], names[order]
    keys = np.unique(np.stack([names, pair[starts]], axis=1), axis=0)[:, 0] if len(names) else names
    known, n_pairs = np.unique(keys, return_counts=True)
    enough = known[n_pairs >= least_pairs]
    kept = np.isin(names, enough)
    starts, names = starts[kept], names[kept]
    borders = np.flatnonzero(np.diff(names)) + 1
    counts = dict(zip(known.tolist(), n_pairs.tolist(), strict=True))
    groups = np.split(starts, borders) if len(starts) else []
    first_names = names[np.concatenate([[0], borders])].tolist() if len(starts) else []
    named = zip(first_names, groups, strict=True)
    return starts, names, [Repeat(n_words, group, counts[name]) for name, group in named]


def _maximal(levels: list[list[Repeat]], n_codes: int) -> list[Repeat]:
    """Return the sequences that no sequence of a word more replaces."""
    found: list[Repeat] = []
    longest_around = np.zeros(n_codes + 1, dtype=np.int64)
    for repeats in reversed(levels):
        around = np.zeros(n_codes + 1, dtype=np.int64)
        for repeat in repeats:
            covered = int(np.median(longest_around[repeat.starts]))
            if covered < KEPT_BY_LONGER * repeat.n_pairs:
                found.append(repeat)
            # The sequences of a word less begin at the same word or a word later.
            for offset in (0, 1):
                np.maximum.at(around, repeat.starts + offset, repeat.n_pairs)
        longest_around = around
    return found
