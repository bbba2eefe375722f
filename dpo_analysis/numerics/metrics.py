"""One number per checkpoint and split: each metric is a ratio of sums over pairs, or a quantile over pairs.

Pairs are columns by name, as ``pair_quantities.pair_quantities`` returns them. A difference within the run's noise
floor is a tie: it neither wins nor loses, and has not fallen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.numerics import rewards
from dpo_analysis.numerics.bootstrap import quantile_interval, ratio_intervals

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray]
PERCENTS = (10, 50, 90)


class RatioTerms(NamedTuple):
    """What each pair adds to a metric, which is sum(numerator) / sum(denominator); both of shape (pairs,)."""

    numerator: Array
    denominator: Array


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of a checkpoint over pairs.

    Attributes:
        function: columns of pairs -> what each pair adds to numerator and denominator; for a quantile the numerator
            is the quantity itself.
        unit: nats, nats per token, beta x nats, share or loss.
        meaning: one sentence.
        quantile: the quantile of the numerator over pairs, between 0 and 1, that is taken instead of the ratio of
            sums; None for a ratio.
    """

    function: Callable[[Columns], RatioTerms]
    unit: str
    meaning: str
    quantile: float | None = None

    def __call__(self, pairs: Columns) -> float:
        """Return the metric over these pairs, in its unit; NaN where it is undefined (no pair, or ties only)."""
        return self.of(_finite(self.function(pairs)))

    def of(self, terms: RatioTerms) -> float:
        """Return the metric of what the pairs add, in its unit; NaN where it is undefined."""
        counted = terms.denominator != 0
        if self.quantile is not None:
            return float(np.quantile(terms.numerator[counted], self.quantile)) if counted.any() else float("nan")
        total = float(terms.denominator.sum())
        return float(terms.numerator.sum()) / total if total else float("nan")


def metrics_with_intervals(pairs: Columns, groups: NDArray[np.int64], n_groups: int) -> dict[str, float]:
    """Return every metric of one checkpoint in its unit, with its 95 % interval over groups.

    Args:
        pairs: the pairs that count, by column, each of shape (pairs,).
        groups: index of each pair's group, from 0, shape (pairs,).
        n_groups: number of groups of the split, including groups without a pair that counts.

    Returns:
        ``name``, ``name_low`` and ``name_high`` for each of ``METRICS``; NaN where undefined.
    """
    terms = {name: _finite(metric.function(pairs)) for name, metric in METRICS.items()}
    values = {name: metric.of(terms[name]) for name, metric in METRICS.items()}
    resampled = [_interval_terms(terms[name], values[name], metric) for name, metric in METRICS.items()]
    low, high = ratio_intervals(
        np.stack([numerator for numerator, _ in resampled]).T,
        np.stack([denominator for _, denominator in resampled]).T,
        groups,
        n_groups,
    )
    result: dict[str, float] = {}
    for index, (name, metric) in enumerate(METRICS.items()):
        ends = float(low[index]), float(high[index])
        if metric.quantile is not None:
            counted = terms[name].denominator != 0
            ends = quantile_interval(terms[name].numerator[counted], metric.quantile, *ends)
        result |= {name: values[name], f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return result


def _finite(terms: RatioTerms) -> RatioTerms:
    """Return the terms with 0 and 0 where either is not finite: such a pair does not count for this metric."""
    numerator, denominator = (np.asarray(part, dtype=np.float64) for part in terms)
    finite = np.isfinite(numerator + denominator)
    if finite.all():
        return RatioTerms(numerator, denominator)
    return RatioTerms(np.where(finite, numerator, 0.0), np.where(finite, denominator, 0.0))


def _interval_terms(terms: RatioTerms, value: float, metric: Metric) -> RatioTerms:
    """Return the ratio that is resampled: for a quantile, the share of values at or below it."""
    if metric.quantile is None:
        return terms
    return RatioTerms((terms.numerator <= value) * terms.denominator, terms.denominator)


def _mean(column: str) -> Callable[[Columns], RatioTerms]:
    """Return the mean of a column over pairs."""
    return lambda pairs: _equally_weighted(pairs[column])


def _equally_weighted(values: NDArray) -> RatioTerms:
    numerator = np.asarray(values, dtype=np.float64)
    return RatioTerms(numerator, np.ones_like(numerator))


def _per_token(column: str, *sides: str) -> Callable[[Columns], RatioTerms]:
    """Return the sum of ``{side}_{column}`` over the tokens of ``sides``: every token has the same weight."""
    return lambda pairs: RatioTerms(
        np.sum([pairs[f"{side}_{column}"] for side in sides], axis=0),
        np.sum([pairs[f"{side}_n_tokens"] for side in sides], axis=0),
    )


def _wins(difference: Callable[[Columns], NDArray]) -> Callable[[Columns], RatioTerms]:
    """Return wins among wins and losses: a difference within the noise floor, nats, is a tie and neither of them."""

    def terms(pairs: Columns) -> RatioTerms:
        gap, noise = np.asarray(difference(pairs), dtype=np.float64), np.asarray(pairs["noise"], dtype=np.float64)
        return RatioTerms(np.where(gap > noise, 1.0, 0.0), np.where(np.abs(gap) > noise, 1.0, 0.0))

    return terms


def _fell(*sides: str) -> Callable[[Columns], RatioTerms]:
    """Return the share of pairs whose ``sides`` all fell by more than the noise floor."""
    return lambda pairs: _equally_weighted(
        np.all([pairs[f"{side}_log_ratio"] < -pairs["noise"] for side in sides], axis=0)
    )


def _displaced(pairs: Columns) -> RatioTerms:
    grown = pairs["chosen_log_ratio"] - pairs["rejected_log_ratio"] > pairs["noise"]
    return _equally_weighted((pairs["chosen_log_ratio"] < -pairs["noise"]) & grown)


def _quantiles(column: str, quantity: str) -> dict[str, Metric]:
    return {
        f"{column}_p{percent}": Metric(
            _mean(column), "beta x nats", f"{percent}% of the pairs lie at or below this {quantity}", percent / 100
        )
        for percent in PERCENTS
    }


METRICS: dict[str, Metric] = {
    "loss": Metric(_mean("loss"), "loss", "mean loss of a pair, as the trainer's formula gives it"),
    "accuracy": Metric(
        _wins(lambda pairs: pairs["chosen_log_ratio"] - pairs["rejected_log_ratio"]),
        "share",
        "wins / (wins + losses) of the implicit reward; a difference within the noise floor is a tie; undefined when "
        "all pairs are ties",
    ),
    "accuracy_trl": Metric(
        lambda pairs: _equally_weighted(pairs["margin"] > 0),
        "share",
        "share of margins above 0, where a tie counts as lost: as TRL logs it",
    ),
    "ranking_accuracy": Metric(
        _wins(lambda pairs: pairs["chosen_logps"] - pairs["rejected_logps"]),
        "share",
        "share of pairs, ties left out, whose chosen response is likelier than the rejected one under the policy "
        "alone, without the reference",
    ),
    "reference_ranking_accuracy": Metric(
        _wins(lambda pairs: pairs["reference_margin"]), "share", "ranking accuracy of the reference on the same pairs"
    ),
    "margin": Metric(_mean("margin"), "beta x nats", "mean of chosen reward minus rejected reward"),
    "chosen_reward": Metric(_mean("chosen_reward"), "beta x nats", "mean implicit reward of the chosen responses"),
    "rejected_reward": Metric(
        _mean("rejected_reward"), "beta x nats", "mean implicit reward of the rejected responses"
    ),
    "chosen_logps": Metric(_mean("chosen_logps"), "nats", "mean log-prob of a chosen response"),
    "rejected_logps": Metric(_mean("rejected_logps"), "nats", "mean log-prob of a rejected response"),
    "chosen_logps_per_token": Metric(
        _per_token("logps", "chosen"), "nats per token", "mean log-prob of a chosen token"
    ),
    "rejected_logps_per_token": Metric(
        _per_token("logps", "rejected"), "nats per token", "mean log-prob of a rejected token"
    ),
    "reference_margin": Metric(
        _mean("reference_margin"), "nats", "mean of chosen minus rejected log-prob under the reference"
    ),
    "chosen_drift": Metric(_mean("chosen_log_ratio"), "nats", "mean change of a chosen response's log-prob"),
    "rejected_drift": Metric(_mean("rejected_log_ratio"), "nats", "mean change of a rejected response's log-prob"),
    "chosen_drift_per_token": Metric(
        _per_token("log_ratio", "chosen"), "nats per token", "mean change of a chosen token's log-prob"
    ),
    "rejected_drift_per_token": Metric(
        _per_token("log_ratio", "rejected"), "nats per token", "mean change of a rejected token's log-prob"
    ),
    "share_chosen_fell": Metric(
        _fell("chosen"), "share", "share of pairs whose chosen response is less likely than under the reference"
    ),
    "share_both_fell": Metric(
        _fell("chosen", "rejected"), "share", "share of pairs with both responses less likely than under the reference"
    ),
    "share_displaced": Metric(_displaced, "share", "share of pairs whose chosen response fell while the margin grew"),
    "chosen_entropy": Metric(
        _per_token("entropy", "chosen"), "nats", "mean entropy of the next token along chosen responses"
    ),
    "rejected_entropy": Metric(
        _per_token("entropy", "rejected"), "nats", "mean entropy of the next token along rejected responses"
    ),
    "entropy": Metric(
        _per_token("entropy", "chosen", "rejected"), "nats", "mean entropy of the next token along both responses"
    ),
    "dpop_penalty": Metric(
        lambda pairs: _equally_weighted(rewards.dpop_penalty(pairs["chosen_log_ratio"])),
        "nats",
        "mean fall of a chosen response below the reference, where a rise counts as 0; DPO-Positive penalises it",
    ),
    "gradient_weight": Metric(
        _mean("gradient_weight"), "share", "mean of sigmoid(-margin): how much a pair still trains"
    ),
    **_quantiles("chosen_reward", "chosen reward"),
    **_quantiles("rejected_reward", "rejected reward"),
    **_quantiles("margin", "margin"),
}
