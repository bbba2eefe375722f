"""Clusters of pairs that are no independent evidence: pairs of one prompt, and pairs whose texts are nearly equal.

Two pairs are near duplicates where the chosen responses have nearly the same bigrams, and the rejected responses too.
Candidates are found by their least hashes (min-wise hashing, Broder 1997, "On the resemblance and containment of
documents"), and each candidate is compared exactly, so that no two pairs share a cluster by a coincidence of hashes.
The bigrams that one response alone has are not compared: where two responses differ in a single phrase, all pairs of a
data set may differ in the same phrase, and that is the pattern which the ledger looks for.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.thresholds import NEAR_DUPLICATE_DISTANCE
from dpo_analysis.text.duplicates import SHORT

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
N_HASHES = 5
"""Least hashes of each pair. Candidates agree in two of them: pairs at the largest distance that still counts are found
with 99 %."""
MIXER = np.uint64(0x9E3779B97F4A7C15)
"""2 ** 64 over the golden ratio, an odd number: multiplying by it spreads the keys."""
COMPARED_KEYS = 1 << 21
"""Keys that are compared at once, which bounds the memory."""


class KeySets(NamedTuple):
    """A set of bigram keys for each of several pairs.

    Attributes:
        keys: the distinct keys of each pair, sorted within the pair, pair by pair; shape (keys,).
        starts: index of the first key of each pair, and the number of all keys; shape (pairs + 1,).
    """

    keys: Ints
    starts: Ints

    @property
    def sizes(self) -> Ints:
        """Number of keys of each pair, shape (pairs,)."""
        return np.diff(self.starts)

    def take(self, pairs: Ints) -> "KeySets":
        """Return the sets of these pairs, in this order."""
        sizes = self.sizes[pairs]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return KeySets(self.keys[np.arange(starts[-1]) + np.repeat(self.starts[pairs] - starts[:-1], sizes)], starts)


def cluster_pairs(groups: Ints, chosen: KeySets, rejected: KeySets) -> Ints:
    """Return the number of each pair's cluster, from 0, shape (pairs,).

    Pairs of one group share a cluster. So do pairs whose responses of each side differ by at most
    ``thresholds.NEAR_DUPLICATE_DISTANCE`` (Jaccard distance of the sets of bigrams) and have at least
    ``text.duplicates.SHORT`` bigrams each: short answers such as "Yes" are equal for unrelated prompts.

    Args:
        groups: number of each pair's group, shape (pairs,); pairs of one prompt share a group.
        chosen: bigrams of each chosen response.
        rejected: bigrams of each rejected response.
    """
    labels = np.unique(groups, return_index=True, return_inverse=True)
    label = labels[1][labels[2]].astype(np.int64)
    long = np.flatnonzero((chosen.sizes >= SHORT) & (rejected.sizes >= SHORT))
    hashes = _mixed(_least_hashes(chosen.take(long)), _least_hashes(rejected.take(long)))
    for first, second in combinations(hashes, 2):
        former, latter = _equal_neighbours(_mixed(first, second), label[long])
        former, latter = long[former], long[latter]
        alike = _nearly_equal(chosen, former, latter)
        former, latter = former[alike], latter[alike]
        alike = _nearly_equal(rejected, former, latter)
        label = _joined(label, former[alike], latter[alike])
    return np.unique(label, return_inverse=True)[1].astype(np.int64)


def _mixed(first: Hashes, second: Hashes) -> Hashes:
    """Return one hash of two, of their shape."""
    mixed = first * MIXER ^ (second >> np.uint64(7))
    return (mixed ^ (mixed >> np.uint64(29))) * MIXER ^ second


def _least_hashes(sets: KeySets) -> Hashes:
    """Return the least hash of each set under ``N_HASHES`` functions, shape (hashes, pairs)."""
    keys = sets.keys.astype(np.uint64) * MIXER
    keys ^= keys >> np.uint64(31)
    factors = np.random.default_rng(0).integers(0, 2**63, N_HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    if not len(keys):
        return np.zeros((N_HASHES, 0), dtype=np.uint64)
    return np.stack([np.minimum.reduceat(keys * factor, sets.starts[:-1]) for factor in factors])


def _equal_neighbours(hashes: Hashes, label: Ints) -> tuple[Ints, Ints]:
    """Return the indices of pairs with equal hashes and unlike labels: each with the first one and with the last one.

    Each pair is returned beside the first pair that has its hash, and beside the pair before it.
    """
    order = np.argsort(hashes, kind="stable")
    equal = hashes[order][1:] == hashes[order][:-1]
    after = np.flatnonzero(equal) + 1
    is_first = np.concatenate([[True], ~equal])
    first = np.maximum.accumulate(np.where(is_first[: len(order)], np.arange(len(order)), 0))[after]
    former, latter = order[np.concatenate([first, after - 1])], order[np.concatenate([after, after])]
    unlike = label[former] != label[latter]
    both = np.unique(np.stack([former[unlike], latter[unlike]]), axis=1)
    return both[0], both[1]


def _nearly_equal(sets: KeySets, former: Ints, latter: Ints) -> NDArray[np.bool_]:
    """Return which sets of ``former`` and ``latter`` have a Jaccard distance that counts as equal."""
    one, other = sets.sizes[former], sets.sizes[latter]
    alike = np.minimum(one, other) >= (1 - NEAR_DUPLICATE_DISTANCE) * np.maximum(one, other)
    for block in _blocks(np.flatnonzero(alike), one + other):
        shared = _shared(sets.take(former[block]), sets.take(latter[block]))
        union = one[block] + other[block] - shared
        alike[block] = shared >= (1 - NEAR_DUPLICATE_DISTANCE) * union
    return alike


def _blocks(indices: Ints, sizes: Ints) -> Iterator[Ints]:
    """Yield the indices in blocks of about ``COMPARED_KEYS`` keys."""
    if len(indices):
        number = np.cumsum(sizes[indices]) // COMPARED_KEYS
        yield from np.split(indices, np.flatnonzero(np.diff(number)) + 1)


def _shared(one: KeySets, other: KeySets) -> Ints:
    """Return the number of keys that each set of ``one`` shares with its counterpart, shape (sets,)."""
    width = 1 + max(int(one.keys.max(initial=0)), int(other.keys.max(initial=0)))
    left, right = (np.repeat(np.arange(len(sets.sizes)), sets.sizes) * width + sets.keys for sets in (one, other))
    nearest = np.minimum(np.searchsorted(right, left), max(len(right) - 1, 0))
    return np.bincount(left[right[nearest] == left] // width, minlength=len(one.sizes)).astype(np.int64)


def _joined(label: Ints, former: Ints, latter: Ints) -> Ints:
    """Return the labels after joining these pairs: the least label of everything that is connected."""
    while len(former):
        low = np.minimum(label[former], label[latter])
        root = np.arange(len(label))
        np.minimum.at(root, label[former], low)
        np.minimum.at(root, label[latter], low)
        moved = root[label]
        if (moved == label).all():
            break
        label = moved
    return label
