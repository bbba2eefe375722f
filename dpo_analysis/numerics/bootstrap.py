"""Intervals over groups: whole prompts vary together, since pairs of one prompt are not independent.

Up to ``MANY`` = 2000 groups: 95 % percentile intervals from ``RESAMPLES`` = 1000 bootstrap resamples drawn with seed 0,
the same for every model of a split, so that two checkpoints are compared on the same draws. Above: the normal interval
of the linearised ratio (cluster-robust standard error), which the bootstrap approaches and which costs one pass.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES, SEED, LEVEL = 1000, 0, 0.95
MANY = 2000
"""Groups above which the bootstrap is no longer drawn."""
NORMAL = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""
BLOCK = 50
"""Resamples multiplied at once."""

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
    """Lower and upper ends for k ratios of sums, each of shape (k,); means have denominators of ones.

    Works on sums per group, so its cost hardly grows with the number of metrics.

    Args:
        numerators: shape (pairs, k); 0 where a pair does not count.
        denominators: shape (pairs, k); 0 where a pair does not count.
        groups: shape (pairs,), the number of each pair's group, from 0.
        n_groups: how many groups there are, those in which no pair counts among them.
        resamples: how often the groups are drawn, where there are at most ``MANY``.
        seed: of the draws.

    Returns:
        The two ends; NaN where fewer than two groups count, for then there is nothing to draw.
    """
    distinct, place = _distinct(denominators)
    upper, lower = _group_sums(numerators, groups, n_groups), _group_sums(distinct, groups, n_groups)
    enough = [np.count_nonzero(column) >= 2 for column in lower.T]
    ends = np.full((2, numerators.shape[1]), np.nan)
    counted = np.array(enough, dtype=bool)[place]
    if not counted.any():
        return ends[0], ends[1]
    if n_groups > MANY:
        for index in np.flatnonzero(counted):
            ends[:, index] = _linearised(upper[:, index], lower[:, place[index]])
        return ends[0], ends[1]
    ratios = _resampled(upper, lower, place, _draws(n_groups, resamples, seed))
    tail = 100 * (1 - LEVEL) / 2
    ends[:, counted] = np.nanpercentile(ratios[:, counted], [tail, 100 - tail], axis=0)
    return ends[0], ends[1]


def quantile_interval(values: Array, quantile: float, share_low: float, share_high: float) -> tuple[float, float]:
    """Woodruff's interval for a quantile: the values at the ends of the interval of the share below it.

    Args:
        values: shape (pairs,), those that count.
        quantile: between 0 and 1.
        share_low: lower end for the share of values at or below the quantile, from ``ratio_intervals``.
        share_high: upper end for that share.

    Returns:
        Lower and upper end in the unit of ``values``; NaN where the share has none.
    """
    if not len(values) or np.isnan(share_low):
        return float("nan"), float("nan")
    share = float(np.mean(values <= np.quantile(values, quantile)))
    places = np.clip([quantile - (share_high - share), quantile + (share - share_low)], 0.0, 1.0)
    low, high = np.quantile(values, places)
    return float(low), float(high)


def _distinct(columns: Array) -> tuple[Array, NDArray[np.int64]]:
    """The columns that differ, and for every column the place of its like among them: most metrics share theirs."""
    places: dict[bytes, int] = {}
    place = [places.setdefault(column.tobytes(), len(places)) for column in columns.T]
    first = [place.index(number) for number in range(len(places))]
    return columns[:, first], np.array(place, dtype=np.int64)


def _group_sums(values: Array, groups: NDArray[np.int64], n_groups: int) -> Array:
    return np.stack([np.bincount(groups, column, n_groups) for column in values.T]).T


def _linearised(upper: Array, lower: Array) -> tuple[float, float]:
    """Both ends from sums per group, each of shape (groups,): ratio -+ 1.96 standard errors.

    The error of sum(u) / sum(l) is, to first order, that of sum(u - ratio * l) / sum(l), whose terms are independent
    (Cochran, Sampling Techniques, ch. 6).
    """
    n_groups, total = len(upper), float(lower.sum())
    ratio = float(upper.sum()) / total
    residual = upper - ratio * lower
    error = float(np.sqrt(residual @ residual * n_groups / (n_groups - 1))) / abs(total)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(lower != 0, upper / lower, ratio)
    # no resample leaves the range of the groups: a share stays between 0 and 1
    return max(ratio - NORMAL * error, float(own.min())), min(ratio + NORMAL * error, float(own.max()))


@lru_cache(maxsize=4)
def _draws(n_groups: int, resamples: int, seed: int) -> NDArray[np.uint8]:
    """How often each group is in each resample, shape (resamples, groups)."""
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, n_groups), dtype=np.uint8)
    for row in counts:
        row[:] = np.bincount(rng.integers(0, n_groups, n_groups), minlength=n_groups)
    return counts


def _resampled(upper: Array, lower: Array, place: NDArray[np.int64], draws: NDArray[np.uint8]) -> Array:
    """Every ratio in every resample, shape (resamples, k); ``place`` says which denominator is each ratio's."""
    ratios = np.empty((len(draws), upper.shape[1]))
    sums = np.concatenate([upper, lower], axis=1)
    for start in range(0, len(draws), BLOCK):
        drawn = draws[start : start + BLOCK].astype(np.float64) @ sums
        above, below = drawn[:, : upper.shape[1]], drawn[:, upper.shape[1] :][:, place]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios[start : start + BLOCK] = np.where(below != 0, above / below, np.nan)
    return ratios
