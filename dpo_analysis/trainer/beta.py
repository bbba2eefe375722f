"""Beta from a trainer's log: rewards change by beta times the change of log-probs between two evaluations."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dpo_analysis.schema import SIDES

FLOAT32_ERROR = 2.0**-24
"""Largest relative rounding error of a logged number, which trainers keep in float32."""
EVALUATION_ERRORS = 16
"""Rounding errors that the mean over an evaluation's batches may add up to."""
MAX_RELATIVE_ERROR = 0.02
"""A beta that the log fixes less sharply than this is not taken from it."""


class SolvedBeta(NamedTuple):
    """A beta that follows from a log.

    Attributes:
        value: the number of fewest digits within ``error`` of the solution.
        error: how far the true beta may lie off, absolutely.
        reason: a sentence that says how it was found.
    """

    value: float
    error: float
    reason: str


def beta_of_log(curves: pa.Table) -> SolvedBeta | None:
    """Return the beta by which a log's rewards follow its log-probs; None where the log cannot tell.

    A reward is beta (logp - logp of the reference), and the reference's log-probs of the same pairs are constant: so
    beta is the change of a reward between two evaluations over the change of its log-prob. Neither a model nor the
    pairs are needed.

    Args:
        curves: of ``logs.read_log``; only evaluations are used, since training values are of different pairs.
    """
    frame = curves.to_pandas()
    solutions: list[SolvedBeta] = []
    for split in sorted(set(frame["split"]) - {"train"}):
        rows = frame[frame["split"] == split].pivot_table(index="step", columns="metric", values="value")
        for side in SIDES:
            if {f"{side}_reward", f"{side}_logps"} <= set(rows.columns):
                both = rows[[f"{side}_reward", f"{side}_logps"]].dropna().to_numpy(dtype=float)
                solution = _solution(both[:, 0], both[:, 1], f"{split} rewards over {split} log-probs")
                solutions += [] if solution is None else [solution]
    best = min(solutions, key=lambda solution: solution.error, default=None)
    if best is None or best.error > MAX_RELATIVE_ERROR * best.value:
        return None
    # Both sides and every set must agree; otherwise the pairs changed between the evaluations, or the reference moved.
    agree = all(abs(other.value - best.value) <= other.error + best.error for other in solutions)
    return best if agree else None


def _solution(rewards: np.ndarray, logps: np.ndarray, reason: str) -> SolvedBeta | None:
    """Return the beta of the two evaluations whose log-probs lie farthest apart, where all evaluations fit it.

    Args:
        rewards: mean rewards of the evaluations, beta x nats, shape (evaluations,).
        logps: their mean log-probs, nats, shape (evaluations,).
        reason: what the solution is from.
    """
    if len(logps) < 2 or logps.max() == logps.min():
        return None
    low, high = int(logps.argmin()), int(logps.argmax())
    moved = logps[high] - logps[low]
    beta = (rewards[high] - rewards[low]) / moved
    # The rewards are differences of log-probs, so they carry the rounding of those, times beta.
    rounding = EVALUATION_ERRORS * FLOAT32_ERROR * (np.abs(rewards).max() + 2 * abs(beta) * np.abs(logps).max())
    fits = np.abs(rewards - rewards[low] - beta * (logps - logps[low])).max() <= 2 * rounding
    if beta <= 0 or not np.isfinite(beta) or not fits:
        return None
    return SolvedBeta(shortest_within(beta, rounding / moved), float(rounding / moved), reason)


def shortest_within(value: float, error: float) -> float:
    """Return the number of fewest decimal digits that lies within ``error`` of ``value``."""
    for digits in range(1, 17):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= error:
            return rounded
    return value
