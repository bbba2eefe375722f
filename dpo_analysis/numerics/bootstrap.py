"""95 % confidence intervals over groups of pairs: all pairs of one prompt are resampled together, as they depend on it.

Up to ``LARGEST_BOOTSTRAP`` = 2000 groups: percentile intervals from ``RESAMPLES`` = 1000 bootstrap resamples. The seed
is fixed, so that two checkpoints of a split are compared on the same resamples. Above: the normal interval of the
linearised ratio (cluster-robust standard error), which the bootstrap approaches and which costs one pass.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES, SEED, LEVEL = 1000, 0, 0.95
LARGEST_BOOTSTRAP = 2000
"""The largest number of groups for which the bootstrap is drawn."""
NORMAL_QUANTILE = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""
RESAMPLES_AT_ONCE = 50
"""Resamples in one matrix product, which bounds the memory."""

Array = NDArray[np.float64]


def ratio_intervals(
    numerators: Array,
    denominators: Array,
    groups: NDArray[np.int64],
    n_groups: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[Array, Array]:
    """Return the lower and upper ends of k ratios of sums, each of shape (k,); a mean has denominators of ones.

    Works on sums per group, so its cost hardly grows with the number of ratios.

    Args:
        numerators: shape (pairs, k); 0 where a pair does not count.
        denominators: shape (pairs, k); 0 where a pair does not count.
        groups: index of each pair's group, shape (pairs,), from 0.
        n_groups: number of groups, including groups without a pair that counts.
        resamples: number of bootstrap resamples, for up to ``LARGEST_BOOTSTRAP`` groups.
        seed: seed of the resamples.

    Returns:
        Lower and upper ends in the unit of the ratio; NaN where fewer than two groups count, as there is nothing to
        resample.
    """
    distinct, column_of = _distinct_columns(denominators)
    upper, lower = _group_sums(numerators, groups, n_groups), _group_sums(distinct, groups, n_groups)
    enough = [np.count_nonzero(column) >= 2 for column in lower.T]
    ends = np.full((2, numerators.shape[1]), np.nan)
    defined = np.array(enough, dtype=bool)[column_of]
    if not defined.any():
        return ends[0], ends[1]
    if n_groups > LARGEST_BOOTSTRAP:
        for index in np.flatnonzero(defined):
            ends[:, index] = _linearised(upper[:, index], lower[:, column_of[index]])
        return ends[0], ends[1]
    ratios = _resampled_ratios(upper, lower, column_of, _draws(n_groups, resamples, seed))
    tail = 100 * (1 - LEVEL) / 2
    ends[:, defined] = np.nanpercentile(ratios[:, defined], [tail, 100 - tail], axis=0)
    return ends[0], ends[1]


def quantile_interval(values: Array, quantile: float, share_low: float, share_high: float) -> tuple[float, float]:
    """Return Woodruff's interval of a quantile: the values at the ends of the interval of the share at or below it.

    Args:
        values: values of the pairs that count, shape (pairs,).
        quantile: between 0 and 1.
        share_low: lower end for the share of values at or below the quantile, from ``ratio_intervals``.
        share_high: upper end for that share.

    Returns:
        Lower and upper end in the unit of ``values``; NaN without values, and where the share has no interval.
    """
    if not len(values) or np.isnan(share_low):
        return float("nan"), float("nan")
    share = float(np.mean(values <= np.quantile(values, quantile)))
    levels = np.clip([quantile - (share_high - share), quantile + (share - share_low)], 0.0, 1.0)
    low, high = np.quantile(values, levels)
    return float(low), float(high)


def _distinct_columns(columns: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return the columns that differ, and which of them equals each column: most metrics share a denominator."""
    indices: dict[bytes, int] = {}
    column_of = [indices.setdefault(column.tobytes(), len(indices)) for column in columns.T]
    first = [column_of.index(number) for number in range(len(indices))]
    return columns[:, first], np.array(column_of, dtype=np.int64)


def _group_sums(values: Array, groups: NDArray[np.int64], n_groups: int) -> Array:
    """Return the sum of every column in every group, shape (groups, columns)."""
    return np.stack([np.bincount(groups, column, n_groups) for column in values.T]).T.astype(np.float64, copy=False)


def _linearised(upper: Array, lower: Array) -> tuple[float, float]:
    """Return both ends from sums per group, each of shape (groups,): ratio -+ 1.96 standard errors.

    The error of sum(u) / sum(l) is, to first order, that of sum(u - ratio * l) / sum(l), whose terms are independent
    (Cochran, Sampling Techniques, ch. 6).
    """
    n_groups, total = len(upper), float(lower.sum())
    ratio = float(upper.sum()) / total
    residual = upper - ratio * lower
    error = float(np.sqrt(residual @ residual * n_groups / (n_groups - 1))) / abs(total)
    with np.errstate(divide="ignore", invalid="ignore"):
        group_ratios = np.where(lower != 0, upper / lower, ratio)
    # no resample leaves the range of the groups: a share stays between 0 and 1
    low = max(ratio - NORMAL_QUANTILE * error, float(group_ratios.min()))
    return low, min(ratio + NORMAL_QUANTILE * error, float(group_ratios.max()))


@lru_cache(maxsize=4)
def _draws(n_groups: int, resamples: int, seed: int) -> NDArray[np.uint8]:
    """Return how often each resample contains each group, shape (resamples, groups)."""
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, n_groups), dtype=np.uint8)
    for row in counts:
        row[:] = np.bincount(rng.integers(0, n_groups, n_groups), minlength=n_groups)
    return counts


def _resampled_ratios(upper: Array, lower: Array, column_of: NDArray[np.int64], draws: NDArray[np.uint8]) -> Array:
    """Return every ratio in every resample, shape (resamples, k); ``column_of`` names each ratio's denominator."""
    ratios = np.empty((len(draws), upper.shape[1]))
    sums = np.concatenate([upper, lower], axis=1)
    for start in range(0, len(draws), RESAMPLES_AT_ONCE):
        drawn = draws[start : start + RESAMPLES_AT_ONCE].astype(np.float64) @ sums
        above, below = drawn[:, : upper.shape[1]], drawn[:, upper.shape[1] :][:, column_of]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios[start : start + RESAMPLES_AT_ONCE] = np.where(below != 0, above / below, np.nan)
    return ratios
