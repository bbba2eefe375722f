"""Which pairs others turn round: what it chooses they reject, and what it rejects they choose, in the same pairs.

It is told by word pairs that one response alone has. A flipped label looks so from the side of the pairs that are in
order, and so does every pair of a preference that the data holds both ways.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_counts import previous

Ints = NDArray[np.int64]


class Turned(NamedTuple):
    """For each pair asked about: how many others judge the same two things the other way round, and how many alike."""

    reversed: Ints
    alike: Ints


def turned(texts: tuple[Sequence[Ints], Sequence[Ints]], asked: Sequence[int]) -> Turned:
    """Count for each of the pairs ``asked`` (places in ``texts``) those that turn it round, and those that agree.

    Args:
        texts: token ids of the chosen and of the rejected responses.
        asked: the pairs.
    """
    own = list(_alone(texts))
    chosen, rejected = (_Holders([one[side] for one in own]) for side in (0, 1))
    counts = []
    for place in asked:
        mine, other = own[place]
        around = rejected.of(mine) & chosen.of(other)
        alike = chosen.of(mine) & rejected.of(other)
        counts.append([int(found.sum() - found[place]) for found in (around, alike)])
    both = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return Turned(both[:, 0], both[:, 1])


def _alone(texts: tuple[Sequence[Ints], Sequence[Ints]]) -> Iterator[tuple[Ints, Ints]]:
    """Of every pair the word pairs that one response alone has, each as one number."""
    base = 2 + max((int(ids.max(initial=0)) for side in texts for ids in side), default=0)
    for sides in zip(*texts, strict=True):
        first, second = (np.unique((previous(np.array([len(ids)]), ids) + 1) * base + ids) for ids in sides)
        yield np.setdiff1d(first, second, assume_unique=True), np.setdiff1d(second, first, assume_unique=True)


class _Holders:
    """Which pairs hold a word pair."""

    def __init__(self, own: Sequence[Ints]) -> None:
        self._size = len(own)
        keys = np.concatenate([*own, np.zeros(0, np.int64)])
        order = np.argsort(keys, kind="stable")
        self._keys, self._pairs = keys[order], np.repeat(np.arange(len(own)), [len(one) for one in own])[order]

    def of(self, words: Ints) -> NDArray[np.bool_]:
        """Of every pair whether it holds one of ``words``."""
        found = np.zeros(self._size, dtype=bool)
        ends = (np.searchsorted(self._keys, words, side=side).tolist() for side in ("left", "right"))
        for start, end in zip(*ends, strict=True):
            found[self._pairs[start:end]] = True
        return found
