"""Each metric by hand on one small table, and the laws all of them obey."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpo_analysis import words
from dpo_analysis.numerics import rewards
from dpo_analysis.numerics.metrics import METRICS, metrics_with_intervals
from dpo_analysis.tables.steps import step_table
from tests.handmade import make_run

UNITS = {"nats", "nats per token", "beta x nats", "share", "loss"}


def columns(chosen, rejected, *, beta=0.1, noise=0.0, chosen_logps=None, rejected_logps=None):
    """Columns of pairs from the log-ratios of both sides; the reference's log-probs are -10 and -20."""
    c, r = np.asarray(chosen, float), np.asarray(rejected, float)
    one = np.ones_like(c)
    own = {"chosen_logps": c - 10, "rejected_logps": r - 20}
    own |= {} if chosen_logps is None else {"chosen_logps": np.asarray(chosen_logps, float)}
    own |= {} if rejected_logps is None else {"rejected_logps": np.asarray(rejected_logps, float)}
    return own | {
        "chosen_log_ratio": c,
        "rejected_log_ratio": r,
        "chosen_reward": beta * c,
        "rejected_reward": beta * r,
        "margin": beta * (c - r),
        "gradient_weight": rewards.gradient_weight(beta * (c - r)),
        "reference_margin": 10 * one,
        "loss": 2 * one,
        "noise": noise * one,
        "chosen_n_tokens": 4 * one,
        "rejected_n_tokens": np.arange(1.0, len(c) + 1),
        "chosen_entropy": 6 * one,
        "rejected_entropy": 3 * one,
    }


FOUR = columns([-1.0, -2.0, 1.0, 2.0], [-3.0, -1.0, 1.0, -4.0], chosen_logps=[-1, -9, -5, -5], rejected_logps=[-2] * 4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", 2.0),
        ("accuracy", 2 / 3),
        ("accuracy_trl", 2 / 4),
        ("ranking_accuracy", 1 / 4),
        ("reference_ranking_accuracy", 1.0),
        ("margin", 0.1 * (2 - 1 + 0 + 6) / 4),
        ("chosen_reward", 0.0),
        ("rejected_reward", -0.1 * 7 / 4),
        ("chosen_logps", -5.0),
        ("rejected_logps", -2.0),
        ("reference_margin", 10.0),
        ("chosen_drift", 0.0),
        ("rejected_drift", -7 / 4),
        ("chosen_drift_per_token", 0.0),
        ("rejected_drift_per_token", -7 / 10),
        ("chosen_logps_per_token", -20 / 16),
        ("rejected_logps_per_token", -8 / 10),
        ("share_chosen_fell", 2 / 4),
        ("share_both_fell", 2 / 4),
        ("share_displaced", 1 / 4),
        ("chosen_entropy", 6 / 4),
        ("rejected_entropy", 12 / 10),
        ("entropy", 36 / 26),
        ("dpop_penalty", 3 / 4),
        ("chosen_reward_p50", 0.0),
        ("margin_p90", np.quantile([0.2, -0.1, 0.0, 0.6], 0.9)),
        ("rejected_reward_p10", np.quantile([-0.3, -0.1, 0.1, -0.4], 0.1)),
    ],
)
def test_metrics_by_hand(name, expected):
    assert METRICS[name](FOUR) == pytest.approx(expected, abs=1e-12)


def test_gradient_weight_is_half_before_training():
    assert METRICS["gradient_weight"](columns([0.0], [0.0])) == 0.5


def test_accuracy_is_undefined_and_trl_says_zero_when_all_are_ties():
    ties = columns([1.0, -2.0], [1.0, -2.0])
    assert np.isnan(METRICS["accuracy"](ties))
    assert METRICS["accuracy_trl"](ties) == 0.0


def test_what_lies_within_the_noise_floor_neither_wins_nor_falls():
    pairs = columns([-0.01, -1.0], [-0.02, 1.0], noise=0.05)
    assert METRICS["accuracy"](pairs) == 0.0
    assert METRICS["accuracy_trl"](pairs) == 0.5
    assert METRICS["share_chosen_fell"](pairs) == 0.5


def test_the_noise_floor_of_the_run_is_used(tmp_path):
    scores = {"reference": [([-1.0], [-1.0])], "a/c-1": [([-1.001], [-1.002])]}
    assert step_table(make_run(tmp_path / "exact", scores))["accuracy"].tolist() == [1.0]
    assert step_table(make_run(tmp_path / "noisy", scores, noise=0.01))["accuracy"].isna().all()


def test_a_number_that_is_missing_does_not_count_for_its_metric_alone():
    pairs = FOUR | {"chosen_entropy": np.array([6.0, np.nan, np.nan, np.nan]), "loss": np.full(4, np.nan)}
    assert METRICS["chosen_entropy"](pairs) == 1.5
    assert np.isnan(METRICS["loss"](pairs))
    assert METRICS["margin"](pairs) == METRICS["margin"](FOUR)


def test_without_pairs_every_metric_is_undefined():
    numbers = metrics_with_intervals(
        {name: values[:0] for name, values in FOUR.items()}, np.zeros(0, dtype=np.int64), 3
    )
    assert len(numbers) == 3 * len(METRICS)
    assert all(np.isnan(value) for value in numbers.values())


ratios = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=2, max_size=12)


@given(ratios, st.randoms(use_true_random=False))
def test_the_order_of_pairs_changes_no_metric(values, random):
    shuffled = random.sample(range(len(values)), len(values))
    pairs = columns(*zip(*values, strict=True))
    other = {name: column[shuffled] for name, column in pairs.items()}
    for metric in METRICS.values():
        assert metric(other) == pytest.approx(metric(pairs), nan_ok=True, abs=1e-9)


@given(ratios)
def test_a_metric_lies_inside_its_interval(values):
    numbers = metrics_with_intervals(columns(*zip(*values, strict=True)), np.arange(len(values)), len(values))
    for name, metric in METRICS.items():
        low, value, high = numbers[f"{name}_low"], numbers[name], numbers[f"{name}_high"]
        assert np.isnan(low) == np.isnan(high)
        assert np.isnan(low) or low - 1e-9 <= value <= high + 1e-9
        assert metric.quantile is None or not np.isnan(low), "a quantile of two pairs or more has an interval"


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.quantile is not None])
def test_the_interval_of_a_quantile_is_that_of_resampled_quantiles(name):
    rng = np.random.default_rng(8)
    pairs = columns(rng.normal(-3, 5, 500), rng.standard_t(3, 500))
    values, quantile = METRICS[name].function(pairs).numerator, METRICS[name].quantile
    draws = np.quantile(values[rng.integers(0, 500, (1000, 500))], quantile, axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    numbers = metrics_with_intervals(pairs, np.arange(500), 500)
    assert numbers[f"{name}_low"] == pytest.approx(low, abs=(high - low) / 4)
    assert numbers[f"{name}_high"] == pytest.approx(high, abs=(high - low) / 4)


def test_every_metric_has_a_unit_a_meaning_and_a_name_in_both_languages():
    for name, metric in METRICS.items():
        assert metric.unit in UNITS
        assert len(metric.meaning) > 10
        assert all(f"metric.{name}" in words.catalogue(lang) for lang in words.LANGUAGES)
