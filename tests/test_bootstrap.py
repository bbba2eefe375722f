"""Intervals: what they cover, what they depend on, and that groups are what is drawn."""

import numpy as np
import pytest

from dpo_analysis.numerics import bootstrap
from dpo_analysis.numerics.bootstrap import quantile_interval, ratio_intervals


def mean_interval(values, groups=None, n_groups=None, **how):
    values = np.asarray(values, dtype=float)[:, None]
    groups = np.arange(len(values)) if groups is None else np.asarray(groups)
    low, high = ratio_intervals(values, np.ones_like(values), groups, n_groups or int(groups.max()) + 1, **how)
    return float(low[0]), float(high[0])


def test_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(1).normal(3.0, 2.0, 2000)
    low, high = mean_interval(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_equal_to_resampling_one_by_one():
    rng = np.random.default_rng(2)
    top, bottom, groups = rng.normal(size=30), rng.integers(1, 9, 30).astype(float), rng.integers(0, 10, 30)
    draws, ratios = np.random.default_rng(0), []
    for _ in range(200):
        drawn = draws.integers(0, 10, 10)
        ratios.append(sum(top[groups == g].sum() for g in drawn) / sum(bottom[groups == g].sum() for g in drawn))
    low, high = ratio_intervals(top[:, None], bottom[:, None], groups, 10, resamples=200)
    assert (low[0], high[0]) == pytest.approx(tuple(np.percentile(ratios, [2.5, 97.5])))


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    values = np.random.default_rng(3).normal(size=40)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)


def test_copies_within_a_group_make_nothing_surer():
    values = np.random.default_rng(4).normal(size=30)
    copied, groups = np.repeat(values, 5), np.repeat(np.arange(30), 5)
    assert mean_interval(copied, groups) == pytest.approx(mean_interval(values))
    assert np.diff(mean_interval(copied)) < 0.6 * np.diff(mean_interval(values))


def test_one_group_has_no_interval():
    assert np.isnan(mean_interval([1.0, 2.0, 3.0], [0, 0, 0])).all()
    assert np.isnan(mean_interval([1.0], [0], 5)).all()


def test_columns_do_not_touch_each_other():
    rng = np.random.default_rng(5)
    top, bottom = rng.normal(size=(50, 3)), np.ones((50, 3))
    bottom[:10, 1], top[:10, 1] = 0.0, 0.0
    bottom[:, 2], top[:, 2] = 0.0, 0.0
    low, high = ratio_intervals(top, bottom, np.arange(50), 50)
    for column in range(2):
        alone = ratio_intervals(top[:, [column]], bottom[:, [column]], np.arange(50), 50)
        assert (low[column], high[column]) == pytest.approx((alone[0][0], alone[1][0]))
    assert np.isnan([low[2], high[2]]).all()


def test_intervals_hold_what_they_promise():
    """95 % intervals of the mean and of the upper decile of 60 values cover the truth in 250 trials, near 95 %."""
    rng = np.random.default_rng(6)
    mean = decile = 0
    for _ in range(250):
        values = rng.normal(size=60)
        low, high = mean_interval(values)
        mean += low <= 0 <= high
        share = mean_interval(values <= np.quantile(values, 0.9))
        low, high = quantile_interval(values, 0.9, *share)
        decile += low <= 1.2816 <= high
    assert 0.90 <= mean / 250 <= 0.99
    assert 0.88 <= decile / 250 <= 0.99


def test_a_quantile_without_values_has_no_interval():
    assert np.isnan(quantile_interval(np.zeros(0), 0.5, 0.4, 0.6)).all()
    assert np.isnan(quantile_interval(np.ones(3), 0.5, np.nan, np.nan)).all()


def test_many_groups_have_the_interval_that_resampling_gives(monkeypatch):
    rng = np.random.default_rng(7)
    groups = np.sort(rng.integers(0, 1500, 4000))
    top = rng.lognormal(size=(4000, 2)) * rng.lognormal(size=1500)[groups][:, None]
    bottom = np.stack([np.ones(4000), rng.integers(1, 60, 4000)], axis=1)
    drawn = np.stack(ratio_intervals(top, bottom, groups, 1500))
    monkeypatch.setattr(bootstrap, "LARGEST_BOOTSTRAP", 1000)
    counted = np.stack(ratio_intervals(top, bottom, groups, 1500))
    assert (np.abs(counted - drawn) < 0.1 * np.diff(drawn, axis=0)).all(), "within a tenth of each one's own width"


def test_the_interval_of_a_rare_share_of_many_groups_stays_above_nothing():
    values = np.zeros(5000)
    values[0] = 1.0
    low, high = mean_interval(values)
    assert low == 0.0
    assert 1 / 5000 < high < 5 / 5000
