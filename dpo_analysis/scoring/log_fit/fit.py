"""Compare a run with its trainer's log, and where they differ find the one setting that makes them fit.

Means over the same pairs, in the same batches, of float32 weights agree to ``evaluations.EXACT``; a setting is named
only where both sides' log-probs, or both rewards, then agree that closely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpo_analysis.runs import Run
from dpo_analysis.runs.summaries.evaluated_sums import EvaluatedSums, evaluated_sums
from dpo_analysis.scoring.log_fit.logged_means import (
    LOGPS,
    REWARDS,
    LoggedPoint,
    farthest,
    logged_points,
    means,
)
from dpo_analysis.scoring.log_fit.objective import FittingBeta, beta_of_loss, beta_of_rewards
from dpo_analysis.scoring.log_fit.tries import Setup, fitting_setting
from dpo_analysis.trainer import Training

AGREES, FITS, REFERENCE, OTHER_PAIRS, NO_FIT, NO_LOG = (
    "agrees",
    "fits",
    "another_reference",
    "other_pairs",
    "no_fit",
    "no_log",
)


TIED_SHARE = 0.01
"""Share of pairs so near a tie that 16 bits may decide them otherwise."""
CHANCE_ERRORS = 3
"""Standard errors of a difference within which two samples of pairs count as alike."""
CLEARLY = 3
"""Multiples of the rounding in 16 bits by which a log must differ before other settings are tried."""


@dataclass(frozen=True, slots=True)
class LogFit:
    """How a series fits its trainer's log.

    Attributes:
        outcome: AGREES, or FITS with another setting, or REFERENCE: log-probs fit and rewards fit no beta, or
            OTHER_PAIRS: another number of pairs was evaluated, or no setting fits and the means differ as those of two
            samples do, or NO_FIT: nothing that was tried fits, or NO_LOG: the
            log has no evaluation of a scored policy with log-probs or a loss.
        setting: the setting of FITS: beta, logged_logps, max_length, bos, eos, tokenization, template, ...
        value: its value as text.
        option: the option of ``score`` that sets it.
        beta: the beta by which the log fits; None where it was not asked for or none fits.
        step: step of the evaluation that was compared.
        split: its split of the run.
        logged: the logged means of both sides, nats.
        recomputed: those of the run.
        n_tried: settings that were tried.
        exact: whether only rounding of float32 was allowed for.
    """

    outcome: str
    setting: str = ""
    value: str = ""
    option: str = ""
    beta: float | None = None
    step: int | None = None
    split: str = ""
    logged: tuple[float, ...] = ()
    recomputed: tuple[float, ...] = ()
    n_tried: int = 0
    exact: bool = False


def fit_log(run: Run, series: str, training: Training | None, setup: Setup, *, beta_is_known: bool) -> LogFit:
    """Return how a series fits its trainer's log; other settings are tried where it does not.

    Args:
        run: the finished run.
        series: the series.
        training: what its trainer's folder says; None without one.
        setup: what the run was made with.
        beta_is_known: whether beta is given or recorded; else the beta that fits is part of the answer.

    Raises:
        StorageError: the log or a part is damaged.
    """
    points = logged_points(run, series)
    usable = [point for point in points if set(LOGPS) <= point.logged.keys() or "loss" in point.logged]
    if not usable:
        return LogFit(NO_LOG)
    if all(point.same_pairs is False for point in usable):
        return LogFit(OTHER_PAIRS, step=usable[-1].model.step, split=usable[-1].split)
    points = [point for point in usable if point.same_pairs is not False]
    sums = [evaluated_sums(run, point.model, point.split) for point in points]
    with_logps = [index for index, point in enumerate(points) if set(LOGPS) <= point.logged.keys()]
    if not with_logps:
        used = run.series[series].beta
        return _by_loss(used, points, sums, beta_is_known=beta_is_known)
    last = with_logps[-1]
    point, one = points[last], sums[last]
    logged = np.array([point.logged[name] for name in LOGPS])
    recomputed = means(one.policy / one.n_tokens if point.averaged else one.policy, point)
    facts: dict[str, Any] = {
        "exact": point.exact,
        "step": point.model.step,
        "split": point.split,
        "logged": tuple(map(float, logged)),
        "recomputed": tuple(map(float, recomputed)),
    }
    # In 16 bits a difference must be clear before other settings are tried.
    if farthest(recomputed, logged, exact=point.exact) > (1 if point.exact else CLEARLY):
        tried = fitting_setting(run, training, setup, point, one, logged)
        outcome = FITS if tried.setting else OTHER_PAIRS if _within_chance(one, point, logged, recomputed) else NO_FIT
        return LogFit(outcome, tried.setting, tried.value, tried.option, n_tried=tried.n_tried, **facts)
    return _objective(run.series[series].beta, points, sums, facts, beta_is_known=beta_is_known)


def _by_loss(
    used: float, points: Sequence[LoggedPoint], sums: Sequence[EvaluatedSums], *, beta_is_known: bool
) -> LogFit:
    """Return the answer for a log without log-probs: its shares of won pairs, which no beta changes, then its loss."""
    where = {"step": points[-1].model.step, "split": points[-1].split}
    if not all(_share_fits(point, one) for point, one in zip(points, sums, strict=True)):
        return LogFit(NO_FIT, **where)
    beta = beta_of_loss(points, sums)
    if beta is None:
        return LogFit(NO_FIT if beta_is_known else NO_LOG, **where)
    if not beta_is_known:
        return LogFit(AGREES, **_beta(beta), **where)
    if beta.low <= used <= beta.high:
        return LogFit(AGREES, **where)
    return LogFit(FITS, "beta", beta.text, f"--beta {beta.value:g}", beta=beta.value, **where)


def _share_fits(point: LoggedPoint, sums: EvaluatedSums) -> bool:
    """Return whether the logged share of won pairs is that of the run, but for a few pairs near a tie."""
    logged = point.logged.get("accuracy_trl")
    won = sums.log_ratios[:, 0] > sums.log_ratios[:, 1]
    return logged is None or abs(logged - won.mean()) <= TIED_SHARE + 2 / len(won)


def _within_chance(sums: EvaluatedSums, point: LoggedPoint, logged: np.ndarray, recomputed: np.ndarray) -> bool:
    """Return whether the logged means differ by no more than those of two samples of pairs of the same kind do."""
    values = sums.policy / sums.n_tokens if point.averaged else sums.policy
    errors = values.std(axis=0) * np.sqrt(2 / max(len(values), 1))
    return bool((np.abs(recomputed - logged) <= CHANCE_ERRORS * errors).all())


def _objective(
    used: float,
    points: Sequence[LoggedPoint],
    sums: Sequence[EvaluatedSums],
    facts: Mapping[str, Any],
    *,
    beta_is_known: bool,
) -> LogFit:
    """Return the answer where the log-probs fit: whether the rewards fit beta, another beta, or another reference."""
    if not any(set(REWARDS) <= point.logged.keys() for point in points):
        return LogFit(AGREES, **_beta(None if beta_is_known else beta_of_loss(points, sums)), **facts)
    beta = beta_of_rewards(points, sums)
    if beta is not None and not beta_is_known:
        return LogFit(AGREES, **_beta(beta), **facts)
    fits_used = all(_rewards_fit(used, point, one) for point, one in zip(points, sums, strict=True))
    if fits_used:
        return LogFit(AGREES, **facts)
    if beta is None:
        return LogFit(REFERENCE, **facts)
    return LogFit(FITS, "beta", beta.text, f"--beta {beta.value:g}", beta=beta.value, **facts)


def _beta(beta: FittingBeta | None) -> dict[str, Any]:
    return {} if beta is None else {"beta": beta.value, "value": beta.text}


def _rewards_fit(beta: float, point: LoggedPoint, sums: EvaluatedSums) -> bool:
    if not set(REWARDS) <= point.logged.keys():
        return True
    ratios = sums.log_ratios / sums.n_tokens if point.averaged else sums.log_ratios
    logged = np.array([point.logged[name] for name in REWARDS])
    per_token = float(sums.n_tokens.mean()) if point.averaged else 1.0
    return farthest(beta * means(ratios, point), logged, exact=point.exact, scale=beta, per_token=per_token) <= 1
