"""Pairs that the policy orders wrongly with confidence, and whether other pairs oppose their labels.

A policy that has seen a pair and still clearly prefers its rejected response has learned the opposite from other pairs.
Where such pairs are many, and other pairs oppose their labels far more often than the labels of the pairs it orders
right, a share of the labels looks flipped. In a run that merely learned little, the two rates are alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.findings import Share
from dpo_analysis.diagnosis.ledger.flipped_labels import Agreement, Responses, count_agreement
from dpo_analysis.diagnosis.outcome.pair_changes import PairChanges
from dpo_analysis.diagnosis.thresholds import CONFIDENT_MARGIN
from dpo_analysis.numerics.bootstrap import ratio_intervals

Mask = NDArray[np.bool_]
COMPARED_PAIRS = 200
"""Pairs of each kind whose labels are compared with other pairs."""
OPPONENTS = 2048
"""Pairs among which those that oppose or support a label are counted."""


@dataclass(frozen=True, slots=True)
class WrongPairs:
    """The pairs with a large negative margin beside those with a large positive one.

    Attributes:
        wrong: share of the pairs with a large margin whose margin is negative, with its interval over groups.
        n_wrong: pairs with a large negative margin.
        opposed_wrong: share of a sample of these whose label more other pairs oppose than support.
        opposed_right: the same share of a sample of the pairs with a large positive margin.
        rows: rows of the pairs with the most negative margins.
    """

    wrong: Share
    n_wrong: int
    opposed_wrong: float
    opposed_right: float
    rows: tuple[int, ...] = ()


def find_wrong_pairs(changes: PairChanges, responses: tuple[Responses, Responses]) -> WrongPairs:
    """Return the confidently wrong pairs and how often other pairs oppose labels.

    A margin is large where it exceeds ``CONFIDENT_MARGIN`` times the median size of all margins.

    Args:
        changes: changes of the training pairs.
        responses: token ids of the chosen and of the rejected response of each of these pairs.
    """
    margins = changes.margins
    limit = CONFIDENT_MARGIN * float(np.median(np.abs(margins))) if len(margins) else 0.0
    large = changes.decided & (np.abs(margins) > limit)
    wrong = large & (margins < 0)
    share = _share(wrong, large, changes.groups)
    worst = np.argsort(margins, kind="stable")[: min(int(wrong.sum()), 10)]
    return WrongPairs(
        share,
        int(wrong.sum()),
        _opposed(wrong, changes, responses),
        _opposed(large & ~wrong, changes, responses),
        tuple(changes.rows[worst].tolist()),
    )


def _opposed(mask: Mask, changes: PairChanges, responses: tuple[Responses, Responses]) -> float:
    """Return the share of a sample of the pairs in ``mask`` whose label more pairs oppose than support."""
    random = np.random.default_rng(0)
    sample = random.permutation(np.flatnonzero(mask))[:COMPARED_PAIRS]
    if not len(sample):
        return float("nan")
    opponents = random.permutation(len(mask))[:OPPONENTS]
    agreement = count_agreement_with(opponents, sample, responses, changes.groups)
    return float((agreement.opposing > agreement.supporting).mean())


def count_agreement_with(
    opponents: NDArray[np.int64], compared: NDArray[np.int64], responses: tuple[Responses, Responses], groups: NDArray
) -> Agreement:
    """Return how many of some pairs, and of each other, oppose and support the labels of the pairs ``compared``.

    Args:
        opponents: indices of the pairs that may oppose or support a label.
        compared: indices of the pairs whose labels are looked at; the result has their order.
        responses: token ids of the chosen and of the rejected response of every pair.
        groups: number of each pair's prompt, shape (pairs,): pairs of one prompt count once.
    """
    kept = np.unique(np.concatenate([compared, opponents]))
    chosen, rejected = ([side[pair] for pair in kept.tolist()] for side in responses)
    return count_agreement((chosen, rejected), np.searchsorted(kept, compared).tolist(), groups[kept])


def _share(part: Mask, whole: Mask, groups: NDArray[np.int64]) -> Share:
    if not whole.any():
        return Share(float("nan"), float("nan"), float("nan"))
    sums, counts = part.astype(float)[:, None], whole.astype(float)[:, None]
    low, high = ratio_intervals(sums, counts, groups, int(groups.max(initial=-1)) + 1)
    return Share(float(part.sum() / whole.sum()), float(low[0]), float(high[0]))
