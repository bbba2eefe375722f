"""Pairs whose label looks flipped: other pairs choose what this pair rejects and reject what it chooses.

Two pairs are compared by the bigrams that one of their responses alone has. A pair with a flipped label is opposed by
the pairs that are in order, and so is every pair of a preference that the data holds both ways.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_counts import previous_tokens
from dpo_analysis.diagnosis.ledger.chance import N_DRAWS, ChanceShare
from dpo_analysis.diagnosis.ledger.ledger import TINY

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Responses = Sequence[Ints]
N_STRATA, LEAST_IN_STRATUM = 10, 20
"""Strata of similar length at most, and the clusters that a stratum has at least on average."""


class Agreement(NamedTuple):
    """How many other pairs oppose the label of each pair, and how many support it; each of shape (pairs,)."""

    opposing: Ints
    supporting: Ints


def count_agreement(
    responses: tuple[Responses, Responses], pairs: Sequence[int], clusters: Ints | None = None
) -> Agreement:
    """Return for some pairs how many other pairs oppose and how many support their label.

    Another pair opposes a label where its rejected response alone has a bigram that this pair's chosen response alone
    has, and its chosen response alone one that this pair's rejected response alone has. It supports the label where the
    same holds for equal sides. A pair may do both.

    Args:
        responses: token ids of the chosen and of the rejected response of every pair, one array each.
        pairs: indices of the pairs to count for.
        clusters: cluster of every pair, from 0 (``clusters.cluster_pairs``): other clusters are counted in the place of
            other pairs. None where every pair is a cluster of its own.
    """
    cluster = np.arange(len(responses[0])) if clusters is None else clusters
    bigrams = list(_one_sided_bigrams(responses))
    chosen, rejected = (_BigramIndex([sides[side] for sides in bigrams]) for side in (0, 1))
    counts = []
    for pair in pairs:
        in_chosen, in_rejected = bigrams[pair]
        opposing = rejected.pairs_with(in_chosen) & chosen.pairs_with(in_rejected)
        supporting = chosen.pairs_with(in_chosen) & rejected.pairs_with(in_rejected)
        counts.append([_other_clusters(cluster[mask], cluster[pair]) for mask in (opposing, supporting)])
    both = np.array(counts, dtype=np.int64).reshape(-1, 2)
    return Agreement(both[:, 0], both[:, 1])


def _other_clusters(clusters: Ints, own: int) -> int:
    """Return how many distinct clusters there are besides this one."""
    return len(np.unique(clusters[clusters != own]))


def turned_by_chance(
    lost: Array,
    opposed: NDArray[np.bool_],
    lengths: Ints,
    clusters: Ints | None = None,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> ChanceShare:
    """Return the share of the loss in opposed pairs beside what it is if losses have nothing to do with labels.

    Long responses have more bigrams, so that other pairs oppose and support them more, and may lose more. So the losses
    are permuted among pairs of similar length, in up to ``N_STRATA`` strata. Pairs of one cluster keep together: they
    are opposed by the same pairs. Which pairs are given must not depend on whether they are opposed; it may depend on
    their losses.

    Args:
        lost: what each pair lost, nats, 0 for a pair that did not fall; shape (pairs,).
        opposed: whether other pairs oppose the label of each pair, shape (pairs,).
        lengths: tokens of both responses of each pair, shape (pairs,).
        clusters: cluster of each pair; None where every pair is a cluster of its own.
        n_draws: number of random permutations.
        seed: seed of the permutations.
    """
    _, unit = np.unique(np.arange(len(lost)) if clusters is None else clusters, return_inverse=True)
    size = np.bincount(unit)
    loss, length = np.bincount(unit, lost), np.bincount(unit, lengths) / np.maximum(size, 1)
    weight = np.where(loss[unit] > 0, lost, 1.0)
    share = np.bincount(unit, weight * opposed) / np.maximum(np.bincount(unit, weight), TINY)
    total = float(loss.sum())
    if not total:
        return ChanceShare.of(float("nan"), np.zeros(0))
    # Equal lengths have the rank of the first, so that they share a stratum.
    rank = np.searchsorted(np.sort(length), length)
    stratum = rank * max(min(N_STRATA, len(loss) // LEAST_IN_STRATUM), 1) // len(loss)
    places = np.random.default_rng(seed).random((n_draws, len(loss))) + stratum
    draws = share[np.argsort(places, axis=1)] @ loss[np.argsort(stratum, kind="stable")] / total
    return ChanceShare.of(float(share @ loss) / total, draws)


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
