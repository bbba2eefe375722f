"""Pairs whose label looks flipped: other pairs choose what this pair rejects and reject what it chooses.

Two pairs are compared by the bigrams that one of their responses alone has. A pair with a flipped label is opposed by
the pairs that are in order, and so is every pair of a preference that the data holds both ways.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_counts import previous_tokens

Ints = NDArray[np.int64]
Responses = Sequence[Ints]


class Agreement(NamedTuple):
    """How many other pairs oppose the label of each pair, and how many support it; each of shape (pairs,)."""

    opposing: Ints
    supporting: Ints


def count_agreement(responses: tuple[Responses, Responses], pairs: Sequence[int]) -> Agreement:
    """Return for some pairs how many other pairs oppose and how many support their label.

    Another pair opposes a label where its rejected response alone has a bigram that this pair's chosen response alone
    has, and its chosen response alone one that this pair's rejected response alone has. It supports the label where the
    same holds for equal sides. A pair may do both.

    Args:
        responses: token ids of the chosen and of the rejected response of every pair, one array each.
        pairs: indices of the pairs to count for.
    """
    bigrams = list(_one_sided_bigrams(responses))
    chosen, rejected = (_BigramIndex([sides[side] for sides in bigrams]) for side in (0, 1))
    counts = []
    for pair in pairs:
        in_chosen, in_rejected = bigrams[pair]
        opposing = rejected.pairs_with(in_chosen) & chosen.pairs_with(in_rejected)
        supporting = chosen.pairs_with(in_chosen) & rejected.pairs_with(in_rejected)
        counts.append([int(mask.sum() - mask[pair]) for mask in (opposing, supporting)])
    both = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return Agreement(both[:, 0], both[:, 1])


def _one_sided_bigrams(responses: tuple[Responses, Responses]) -> Iterator[tuple[Ints, Ints]]:
    """Yield for every pair the keys of the bigrams that its chosen, and its rejected, response alone has."""
    base = 2 + max((int(ids.max(initial=0)) for side in responses for ids in side), default=0)
    for sides in zip(*responses, strict=True):
        chosen, rejected = (np.unique((previous_tokens(np.array([len(ids)]), ids) + 1) * base + ids) for ids in sides)
        yield np.setdiff1d(chosen, rejected, assume_unique=True), np.setdiff1d(rejected, chosen, assume_unique=True)


class _BigramIndex:
    """Finds the pairs that have a bigram; built from the bigram keys of every pair."""

    def __init__(self, bigrams: Sequence[Ints]) -> None:
        self._n_pairs = len(bigrams)
        keys = np.concatenate([*bigrams, np.zeros(0, np.int64)])
        pairs = np.repeat(np.arange(len(bigrams)), [len(keys) for keys in bigrams])
        order = np.argsort(keys, kind="stable")
        self._keys, self._pairs = keys[order], pairs[order]

    def pairs_with(self, bigrams: Ints) -> NDArray[np.bool_]:
        """Return which pairs have at least one of these bigrams, shape (pairs,)."""
        mask = np.zeros(self._n_pairs, dtype=bool)
        starts, stops = (np.searchsorted(self._keys, bigrams, side=side).tolist() for side in ("left", "right"))
        for start, stop in zip(starts, stops, strict=True):
            mask[self._pairs[start:stop]] = True
        return mask
