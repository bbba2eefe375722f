"""What random labels give: the shares of the mass ledger after chosen and rejected are swapped at random elsewhere.

If the other pairs had nothing to do with the loss, it would not matter which response of another pair is labelled
chosen. So chosen and rejected are swapped at random, in whole clusters of pairs (``clusters.cluster_pairs``), and the
shares are computed again: what each token lost and which tokens gained stays as it is, and the cluster of a fallen pair
itself stays left out. A swap has the sign -1. Swaps leave r + c of a bigram as it is, and c - r becomes the sum over
clusters of sign * (chosen there - rejected there).

A share above its interval says that the labels of other pairs and the loss are related. It does not say how: a model
that was trained on these labels is expected to follow them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.ledger.bigram_index import BigramIndex, contains
from dpo_analysis.diagnosis.ledger.chance import N_DRAWS, ChanceShare
from dpo_analysis.diagnosis.ledger.label_swaps import LabelSwaps
from dpo_analysis.diagnosis.ledger.ledger import Ledger, sum_by
from dpo_analysis.diagnosis.thresholds import PUSHED_TOKEN_X
from dpo_analysis.text.regions import REGIONS

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
CHANCE_NAMES = ("pushed", "pulled", "x")
"""The values that ``chance_shares`` returns for each region: C and P as shares of the whole loss, and X."""
MAX_ENTRIES = 6_000_000
"""Clusters with a queried bigram, summed over the bigrams: above it tokens are sampled, which bounds the time."""
MAX_QUERIES = 200_000
"""Labels and gaining tokens: above it tokens are sampled, which bounds time and memory."""
QUERIES_AT_ONCE = 1 << 14
"""Labels and gaining tokens that are computed at once, which bounds the memory."""


def chance_shares(ledger: Ledger, n_draws: int = N_DRAWS, seed: int = 0) -> dict[str, dict[str, ChanceShare]]:
    """Return for each region the shares of the ledger beside what random labels of the other pairs give.

    The key "" stands for the whole response, further keys are those of ``text.regions.REGIONS``; below each stand
    ``CHANCE_NAMES``. ``pushed`` and ``pulled`` are shares of the whole loss that lie in the region, as in
    ``Ledger.by_region``; ``x`` is the mean of x over the loss in the region. The observed values are those of the
    ledger or, of a large ledger, of a sample of its tokens drawn by a hash, and the random draws use the same sample.

    Args:
        ledger: the ledger of one checkpoint.
        n_draws: number of random labellings.
        seed: seed of the labellings.
    """
    index = ledger.bigrams.index
    query = _sampled_query(ledger, index)
    sums = _region_sums(query, LabelSwaps.draw(index, query.keys, n_draws, seed))
    weights = _by_region(query.loss_share, query.region)
    result: dict[str, dict[str, ChanceShare]] = {region: {} for region in ("", *REGIONS)}
    for name, of_region in zip(CHANCE_NAMES, sums, strict=True):
        scale = weights if name == "x" else np.full(len(REGIONS), weights.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            values = [of_region.sum(axis=0) / weights.sum(), *(of_region / scale[:, None])]
        for region, row in zip(result, values, strict=True):
            result[region][name] = ChanceShare.of(float(row[0]), row[1:])
    return result


class _Query(NamedTuple):
    """The tokens that lost, and beside each the named tokens that gained; bigrams by their index in ``keys``.

    Attributes:
        loss_share, region: of each token, shape (tokens,).
        label: index in ``keys`` of each token's own bigram, shape (tokens,).
        owner: cluster of each token's pair, -1 for none, shape (tokens,).
        token: index of the token beside which a token gained, sorted, shape (gaining,).
        gaining: index in ``keys`` of its bigram, shape (gaining,).
        gained_share: share of the gained probability at its position that it got, shape (gaining,).
        keys: the distinct keys, sorted.
    """

    loss_share: Array
    region: Ints
    label: Ints
    owner: Ints
    token: Ints
    gaining: Ints
    gained_share: Array
    keys: Ints

    def sample(self, tokens: Mask, gaining: Mask, keys: Mask) -> "_Query":
        """Return the query of these tokens alone, with the tokens that gained beside them and the keys of both."""
        token, key = np.cumsum(tokens) - 1, np.cumsum(keys) - 1
        return _Query(
            self.loss_share[tokens],
            self.region[tokens],
            key[self.label[tokens]],
            self.owner[tokens],
            token[self.token[gaining]],
            key[self.gaining[gaining]],
            self.gained_share[gaining],
            self.keys[keys],
        )


def _sampled_query(ledger: Ledger, index: BigramIndex) -> _Query:
    """Return the query of all tokens that lost, or of a sample of them that costs no more than it may."""
    query, place = _whole_query(ledger, index)
    n_clusters = index.chooses.places(query.keys)[1] + index.rejects.places(query.keys)[1]
    share = 1.0
    while True:
        sampled = place < share
        gaining = sampled[query.token]
        used = np.zeros(len(query.keys), dtype=bool)
        used[query.label[sampled]] = True
        used[query.gaining[gaining]] = True
        n_queries = int(sampled.sum() + gaining.sum())
        surplus = max(float(n_clusters[used].sum()) / MAX_ENTRIES, n_queries / MAX_QUERIES)
        if surplus <= 1:
            return query.sample(sampled, gaining, used)
        share *= max(min(0.9 / surplus, 0.9), 0.1)


def _whole_query(ledger: Ledger, index: BigramIndex) -> tuple[_Query, Array]:
    """Return the query of all tokens that lost, and a random number from 0 to 1 for each of them."""
    tokens, top_tokens = ledger.tokens, ledger.top_tokens
    kept = np.flatnonzero(tokens.loss_share > 0)
    number = np.full(len(tokens.pair), -1)
    number[kept] = np.arange(len(kept))
    gaining = np.flatnonzero((top_tokens.recipient >= 0) & (number[top_tokens.index] >= 0))
    gaining = gaining[np.argsort(number[top_tokens.index[gaining]], kind="stable")]
    key = index.keys(tokens.previous_ids[top_tokens.index[gaining]], top_tokens.ids[gaining])
    # A bigram that no pair chooses or rejects alone pulls nothing, whatever the labels are.
    counted = contains(index.chooses.keys, key) | contains(index.rejects.keys, key)
    gaining, key = gaining[counted], key[counted]
    label = index.keys(tokens.previous_ids[kept], tokens.token_ids[kept])
    keys, places = np.unique(np.concatenate([label, key]), return_inverse=True)
    query = _Query(
        tokens.loss_share[kept],
        tokens.region[kept],
        places[: len(kept)],
        ledger.bigrams.clusters(ledger.rows)[tokens.pair[kept]],
        number[top_tokens.index[gaining]],
        places[len(kept) :],
        ledger.gained_shares[gaining],
        keys,
    )
    return query, _hashed(ledger.rows[tokens.pair[kept]], tokens.position[kept])


def _hashed(rows: Ints, positions: Ints) -> Array:
    """Return a number from 0 to 1 for each token that depends on its row and position alone (SplitMix64)."""
    value = (rows.astype(np.uint64) << np.uint64(24)) + positions.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return (value >> np.uint64(11)).astype(np.float64) / 2**53


def _region_sums(query: _Query, swaps: LabelSwaps) -> list[Array]:
    """Return ``CHANCE_NAMES`` summed over the loss in each region, each of shape (regions, labellings)."""
    sums = [np.zeros((len(REGIONS), swaps.signs.shape[1])) for _ in CHANCE_NAMES]
    ends = np.searchsorted(query.token, np.arange(len(query.label)), side="right")
    number = (np.arange(len(query.label)) + ends) // QUERIES_AT_ONCE
    for block in np.split(np.arange(len(query.label)), np.flatnonzero(np.diff(number)) + 1):
        excess, total = swaps.others(query.label[block], query.owner[block])
        pushed = excess <= -_least_pushed(total)[:, None]
        weights = np.zeros((len(REGIONS), len(block)), dtype=np.float32)
        weights[query.region[block], np.arange(len(block))] = query.loss_share[block]
        sums[0] += weights @ pushed.astype(np.float32)
        sums[2] -= (weights / total.astype(np.float32)) @ excess.astype(np.float32)
        gaining = np.arange(*np.searchsorted(query.token, [block[0], block[-1] + 1]))
        if len(gaining):
            tokens, pulled = _pulled(query, swaps, gaining)
            pulled[pushed[tokens - block[0]]] = 0
            sums[1] += weights[:, tokens - block[0]] @ pulled
    return sums


def _pulled(query: _Query, swaps: LabelSwaps, gaining: Ints) -> tuple[Ints, NDArray[np.float32]]:
    """Return the tokens beside which some others gained, and what other pairs pull there: (tokens, labellings)."""
    tokens, starts = np.unique(query.token[gaining], return_index=True)
    excess, total = swaps.others(query.gaining[gaining], query.owner[query.token[gaining]])
    weight = (query.gained_share[gaining] / total).astype(np.float32)
    pulled = np.maximum(excess, 0) * weight[:, None]
    return tokens, np.minimum(np.add.reduceat(pulled, starts, axis=0), 1)


def _least_pushed(total: Array) -> NDArray[np.int16]:
    """Return the least r - c at which x exceeds ``PUSHED_TOKEN_X``, for r + c + K, shape (tokens,).

    Whole numbers are compared in the place of ratios, which is quick and decides as the ledger does.
    """
    least = np.floor(PUSHED_TOKEN_X * total)
    return np.where(least / total > PUSHED_TOKEN_X, least, least + 1).astype(np.int16)


def _by_region(values: Array, region: Ints) -> Array:
    return sum_by(region, values, len(REGIONS))
