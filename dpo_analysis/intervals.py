"""Intervals by the bootstrap over groups: whole prompts are drawn again, since pairs of one prompt are not independent.

95 % percentile intervals from ``RESAMPLES`` = 1000 resamples drawn with seed 0, the same for every model of a split,
so that two checkpoints are compared on the same draws.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES, SEED, LEVEL = 1000, 0, 0.95
BLOCK = 50
"""Resamples multiplied at once: bounds the memory at 60,000 groups to some ten megabytes."""

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
        resamples: how often the groups are drawn.
        seed: of the draws.

    Returns:
        The two ends; NaN where fewer than two groups count, for then there is nothing to draw.
    """
    distinct, place = _distinct(denominators)
    upper, lower = _group_sums(numerators, groups, n_groups), _group_sums(distinct, groups, n_groups)
    enough = (lower != 0).sum(axis=0) >= 2
    ends = np.full((2, numerators.shape[1]), np.nan)
    if not enough.any():
        return ends[0], ends[1]
    ratios = _resampled(upper, lower, place, _draws(n_groups, resamples, seed))
    counted = enough[place]
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
    return np.stack([np.bincount(groups, column, n_groups).astype(np.float64) for column in values.T], axis=1)


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
