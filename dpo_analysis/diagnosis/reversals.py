"""Which pairs others turn round: what it chooses they reject, and what it rejects they choose, in the same pairs.

It is told by word pairs that one response alone has. A flipped label looks so from the side of the pairs that are in
order, and so does every pair of a preference that the data holds both ways.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.contexts import previous

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
    own = [_alone(chosen, rejected) for chosen, rejected in zip(*texts, strict=True)]
    holders = tuple(_holders([one[side] for one in own]) for side in (0, 1))
    counts = []
    for place in asked:
        chosen, rejected = own[place]
        found = [_pairs(holders[0], chosen), _pairs(holders[1], rejected), _pairs(holders[1], chosen)]
        other = _pairs(holders[0], rejected)
        counts.append((len((found[2] & other) - {place}), len((found[0] & found[1]) - {place})))
    both = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return Turned(both[:, 0], both[:, 1])


def _alone(chosen: Ints, rejected: Ints) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """The word pairs that one response alone has."""
    first, second = _words(chosen), _words(rejected)
    return first - second, second - first


def _words(ids: Ints) -> set[tuple[int, int]]:
    before = previous(np.array([len(ids)]), ids)
    return set(zip(before.tolist(), ids.tolist(), strict=True))


def _holders(own: Sequence[set[tuple[int, int]]]) -> dict[tuple[int, int], set[int]]:
    found: dict[tuple[int, int], set[int]] = defaultdict(set)
    for place, words in enumerate(own):
        for one in words:
            found[one].add(place)
    return found


def _pairs(holders: dict[tuple[int, int], set[int]], words: set[tuple[int, int]]) -> set[int]:
    return set().union(*(holders[one] for one in words if one in holders))
