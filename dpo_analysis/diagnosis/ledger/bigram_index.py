"""The bigrams that one response of a pair alone has, by bigram and cluster of pairs: arrays without a run folder."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.clusters import KeySets, cluster_pairs

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class OtherPairs(NamedTuple):
    """What the other pairs do with each bigram of a query; every array has the shape of the query.

    Pairs of one cluster (``clusters.cluster_pairs``) count once for each side, and the whole cluster of the pair that
    asks is left out.

    Attributes:
        rejects: r, the number of other clusters with a pair whose rejected response alone has the bigram.
        chooses: c, the number of other clusters with a pair whose chosen response alone has it.
        rejected_by_pair: whether the rejected response alone of the pair itself, or of a pair of its cluster, has it.
        seen: whether any response of any counted pair has it, the pair itself included.
    """

    rejects: Ints
    chooses: Ints
    rejected_by_pair: Mask
    seen: Mask


class Incidence(NamedTuple):
    """Which clusters have which bigram on one side alone.

    Attributes:
        keys: the distinct bigrams, sorted, shape (bigrams,).
        starts: index in ``clusters`` of each bigram's first cluster, and the number of all; shape (bigrams + 1,).
        clusters: clusters of each bigram, sorted within the bigram, shape (entries,).
        entries: key * number of clusters + cluster, sorted, shape (entries,).
    """

    keys: Ints
    starts: Ints
    clusters: NDArray[np.int32]
    entries: Ints

    @classmethod
    def of(cls, keys: Ints, clusters: Ints, n_clusters: int) -> "Incidence":
        """Return the incidence of these bigrams and clusters, which may hold an entry several times."""
        entries = distinct(keys * n_clusters + clusters)
        by_entry = entries // max(n_clusters, 1)
        starts = np.flatnonzero(np.concatenate([[True], by_entry[1:] != by_entry[:-1]])[: len(entries)])
        members = (entries - by_entry * n_clusters).astype(np.int32)
        return cls(by_entry[starts], np.append(starts, len(entries)), members, entries)

    def places(self, keys: Ints) -> tuple[Ints, Ints]:
        """Return where the clusters of each bigram begin and how many they are; 0 where there is none."""
        if not len(self.keys):
            return np.zeros_like(keys), np.zeros_like(keys)
        nearest = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        counts = np.where(self.keys[nearest] == keys, self.starts[nearest + 1] - self.starts[nearest], 0)
        return self.starts[nearest], counts

    def has(self, keys: Ints, clusters: Ints, n_clusters: int) -> Mask:
        """Return whether each of these clusters has the bigram; False for the cluster -1, which is none."""
        return (clusters >= 0) & contains(self.entries, keys * n_clusters + clusters)


class BigramIndex(NamedTuple):
    """The counted pairs by bigram. The key of a bigram is (previous token + 1) * base + token.

    Attributes:
        base: more than every token id + 1.
        n_clusters: number of clusters of the counted pairs.
        cluster_of: cluster of every pair that was read, -1 where no counted pair is in it; shape (pairs,).
        chooses: the clusters whose chosen response alone has a bigram.
        rejects: the clusters whose rejected response alone has it.
        seen: keys of the bigrams of all responses of counted pairs, sorted.
    """

    base: int
    n_clusters: int
    cluster_of: Ints
    chooses: Incidence
    rejects: Incidence
    seen: Ints

    @classmethod
    def of(
        cls, base: int, groups: Ints, chosen: KeySets, rejected: KeySets, counted: Mask | None = None
    ) -> "BigramIndex":
        """Return the index of these pairs.

        Args:
            base: see above.
            groups: number of each pair's prompt, shape (pairs,).
            chosen: bigrams of each chosen response.
            rejected: bigrams of each rejected response.
            counted: which pairs count, shape (pairs,); the cluster of all pairs is found. None for all.
        """
        cluster = cluster_pairs(groups, chosen, rejected)
        if counted is not None and not counted.all():
            used = np.zeros(len(cluster), dtype=bool)
            used[cluster[counted]] = True
            cluster = np.where(used, np.cumsum(used) - 1, -1)[cluster]
            chosen, rejected = (sets.take(np.flatnonzero(counted)) for sets in (chosen, rejected))
        of_counted = cluster if counted is None else cluster[counted]
        n_clusters = int(cluster.max(initial=-1)) + 1
        pairs = [np.repeat(np.arange(len(sets.sizes)), sets.sizes) for sets in (chosen, rejected)]
        of_pair = [pair * base**2 + sets.keys for pair, sets in zip(pairs, (chosen, rejected), strict=True)]
        alone = [~contains(of_pair[1 - side], of_pair[side]) for side in (0, 1)]
        chooses, rejects = (
            Incidence.of(sets.keys[kept], of_counted[pair[kept]], n_clusters)
            for sets, pair, kept in zip((chosen, rejected), pairs, alone, strict=True)
        )
        seen = distinct(np.concatenate([chosen.keys, rejected.keys]))
        return cls(base, n_clusters, cluster, chooses, rejects, seen)

    def keys(self, previous: Ints, token_ids: Ints) -> Ints:
        """Return the key of each bigram; -1 where a token has an id that no counted pair has."""
        unknown = (token_ids > self.base - 2) | (previous > self.base - 2)
        return np.where(unknown, -1, (previous + 1) * self.base + token_ids)

    def look_up(self, clusters: Ints, previous: Ints, token_ids: Ints) -> OtherPairs:
        """Return what the pairs of other clusters do with each bigram.

        Args:
            clusters: cluster of the pair that each bigram belongs to, shape (bigrams,); -1 for none.
            previous: id of each previous token, same shape; ``RESPONSE_START`` for none.
            token_ids: id of each token, same shape.
        """
        key = self.keys(previous, token_ids)
        owner = np.where(key < 0, -1, clusters)
        chooses, rejects = (side.has(key, owner, self.n_clusters) for side in (self.chooses, self.rejects))
        return OtherPairs(
            rejects=self.rejects.places(key)[1] - rejects,
            chooses=self.chooses.places(key)[1] - chooses,
            rejected_by_pair=rejects,
            seen=contains(self.seen, key),
        )


def key_sets(base: int, n_pairs: int, pairs: Ints, previous: Ints, token_ids: Ints) -> KeySets:
    """Return the distinct bigrams of each pair.

    Args:
        base: more than every token id + 1.
        n_pairs: number of pairs.
        pairs: index of the pair of each token, shape (tokens,).
        previous: id of each previous token, same shape.
        token_ids: id of each token, same shape.
    """
    entries = distinct(pairs * base**2 + (previous + 1) * base + token_ids)
    return KeySets(entries % base**2, np.searchsorted(entries, np.arange(n_pairs + 1) * base**2).astype(np.int64))


def contains(keys: Ints, query: Ints) -> Mask:
    """Return which keys of ``query`` are among the sorted ``keys``."""
    if not len(keys):
        return np.zeros(query.shape, dtype=bool)
    return keys[np.minimum(np.searchsorted(keys, query), len(keys) - 1)] == query


def distinct(values: Ints) -> Ints:
    """Return the distinct values, sorted. On millions of values this is ten times as fast as ``np.unique``."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]]
