"""How much of the loss lies in pairs whose label looks flipped, and how much of it would lie there by chance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_counts import previous_tokens
from dpo_analysis.diagnosis.ledger.bigram_index import key_sets
from dpo_analysis.diagnosis.ledger.chance import N_DRAWS, ChanceShare
from dpo_analysis.diagnosis.ledger.clusters import KeySets, cluster_pairs
from dpo_analysis.diagnosis.ledger.flipped_labels import Agreement, Responses, count_agreement, turned_by_chance
from dpo_analysis.diagnosis.thresholds import PSEUDO_COUNT_SHARE

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
COMPARED_PAIRS = 256
"""Fallen pairs whose labels are looked at, those that fell most; and pairs of a sample of all pairs beside them."""
POSSIBLE_OPPONENTS = 4096
"""Pairs among which those that oppose a label are looked for."""


class ReversedLabels(NamedTuple):
    """The pairs whose label more other pairs oppose than support.

    Attributes:
        turned: share of the lost nats that lies in such pairs, beside what it is by chance.
        turned_pairs: share of all pairs that are such pairs, from a sample.
    """

    turned: ChanceShare
    turned_pairs: float


class OpposedLabels(NamedTuple):
    """Some pairs, and what other pairs say about their labels; each of shape (compared,).

    Attributes:
        opposed: whether clearly more other clusters of pairs oppose the label than support it.
        agreement: how many other clusters oppose it, and how many support it.
        clusters: number of each pair's cluster.
    """

    opposed: NDArray[np.bool_]
    agreement: Agreement
    clusters: Ints


def find_reversed_labels(
    responses: tuple[Responses, Responses], lost: Array, groups: Ints, n_draws: int = N_DRAWS, seed: int = 0
) -> ReversedLabels:
    """Return how much of the loss lies in pairs whose label other pairs oppose, beside chance.

    Pairs of one prompt and near duplicates are one opponent, and none for each other.

    Args:
        responses: token ids of the chosen and of the rejected response of every pair, one array each.
        lost: what each fallen pair lost, nats, 0 for the other pairs; shape (pairs,).
        groups: number of each pair's prompt, shape (pairs,).
        n_draws: number of random draws.
        seed: seed of the draws.
    """
    worst = np.argsort(-lost, kind="stable")[: min(COMPARED_PAIRS, int((lost > 0).sum()))]
    sample = np.random.default_rng(0).permutation(len(lost))[:COMPARED_PAIRS]
    compared = np.unique(np.concatenate([worst, sample]))
    found = find_opposed_labels(responses, groups, compared)
    lost_of_worst = np.where(np.isin(compared, worst), lost[compared], 0.0)
    lengths = np.array([sum(len(side[pair]) for side in responses) for pair in compared.tolist()], dtype=np.int64)
    turned = turned_by_chance(lost_of_worst, found.opposed, lengths, found.clusters, n_draws, seed)
    in_sample = found.opposed[np.isin(compared, sample)]
    return ReversedLabels(turned, float(in_sample.mean()) if len(in_sample) else float("nan"))


def find_opposed_labels(responses: tuple[Responses, Responses], groups: Ints, compared: Ints) -> OpposedLabels:
    """Return which of some pairs have a label that other pairs oppose, by their texts alone.

    Args:
        responses: token ids of the chosen and of the rejected response of every pair, one array each.
        groups: number of each pair's prompt, shape (pairs,).
        compared: indices of the pairs whose labels are looked at, sorted and distinct.
    """
    opponents = np.arange(min(len(groups), POSSIBLE_OPPONENTS))
    kept = np.unique(np.concatenate([compared, opponents]))
    sides = [[side[pair] for pair in kept.tolist()] for side in responses]
    clusters = cluster_pairs(groups[kept], *_key_sets(sides))
    places = np.searchsorted(kept, compared)
    agreement = count_agreement((sides[0], sides[1]), places.tolist(), clusters)
    n_clusters = int(clusters.max(initial=-1)) + 1
    opposed = agreement.opposing > agreement.supporting + PSEUDO_COUNT_SHARE * n_clusters
    return OpposedLabels(opposed, agreement, clusters[places])


def _key_sets(sides: list[list[Ints]]) -> tuple[KeySets, KeySets]:
    """Return the bigrams of the chosen and of the rejected responses."""
    base = 2 + max((int(ids.max(initial=0)) for side in sides for ids in side), default=0)
    sets = []
    for side in sides:
        lengths = np.array([len(ids) for ids in side], dtype=np.int64)
        ids = np.concatenate([*side, np.zeros(0, np.int64)]).astype(np.int64)
        pairs = np.repeat(np.arange(len(side)), lengths)
        sets.append(key_sets(base, len(side), pairs, previous_tokens(lengths, ids), ids))
    return sets[0], sets[1]
