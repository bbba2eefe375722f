"""Evaluations in a trainer's log: how many pairs they are means over, in which batches, and how exact they are."""

from typing import NamedTuple

import numpy as np
import pandas as pd

RUNTIME_ROUNDING, RATE_ROUNDING = 0.5e-4, 0.5e-3
"""transformers rounds the runtime of an evaluation to 4 decimals, and its samples per second to 3."""
WHOLE_PAIRS = 1e-3
"""Pairs by which a logged share of pairs, times their number, may miss a whole number: shares are logged as float32."""
EXACT = 1e-4
"""By how much a logged mean of the same pairs, batches and float32 weights may differ, in the unit of its metric."""
RELATIVE = 2e-6
"""The same as a share of the value: a sum of many log-probs is rounded at its size."""
COARSE, COARSE_RELATIVE = 0.02, 1e-3
"""The same in nats, and as a share of the value, where training or scoring used 16 bits."""
EVALUATION_BATCH = "per_device_eval_batch_size"
"""Name of the evaluation's batch size in a series' parameters."""
LOSES_LONGEST_END = "loses_longest_end"
"""Name of the fact that the trainer lost the last token of the longest sequence of each batch (TRL 0.12)."""


class EvaluatedPairs(NamedTuple):
    """Whether a trainer evaluated as many pairs as a split of the run has.

    Attributes:
        same: True where it did, False where it did not, None where the log does not say.
        n: pairs that the trainer evaluated; 0 where the log does not say.
    """

    same: bool | None
    n: int


def evaluated_pairs(logged: pd.DataFrame, n_used: int, n_pairs: int) -> EvaluatedPairs:
    """Return whether one set that a trainer evaluated has as many pairs as a split of the run.

    The number is runtime times samples per second, which transformers logs with every evaluation. Where these are
    missing, a share of won pairs tells: times the right number of pairs it is whole at every evaluation.

    Args:
        logged: the values of one series and one set: step, metric, value.
        n_used: pairs of the split that were scored.
        n_pairs: all pairs of the split; the trainer may have left out some that could not be scored.
    """
    by_step = logged.pivot_table(index="step", columns="metric", values="value")
    if {"runtime", "samples_per_second"} <= set(by_step.columns):
        timed = by_step[["runtime", "samples_per_second"]].dropna()
        timed = timed[(timed > 0).all(axis=1)]
        if len(timed):
            runtime, rate = timed["runtime"], timed["samples_per_second"]
            n = float((runtime * rate).median())
            allowed = 0.5 + n * float((RUNTIME_ROUNDING / runtime + RATE_ROUNDING / rate).median())
            return EvaluatedPairs(bool(n_used - allowed <= n <= n_pairs + allowed), round(n))
    shares = by_step["accuracy_trl"].dropna() if "accuracy_trl" in by_step.columns else pd.Series(dtype=float)
    won = shares[(shares > 0) & (shares < 1)].to_numpy() * n_used
    whole = len(won) > 0 and bool((np.abs(won - np.round(won)) <= WHOLE_PAIRS).all())
    return EvaluatedPairs(True, n_used) if whole else EvaluatedPairs(None, 0)


def mean_of_batches(values: np.ndarray, batch_size: int | None) -> float:
    """Return the mean over batches of the mean in each batch, as trainers log it; without a size the plain mean.

    A smaller last batch counts as much as a full one.

    Args:
        values: values of the pairs in the order of evaluation, shape (pairs,); NaN where a pair does not count.
        batch_size: pairs of a batch.
    """
    if not batch_size or len(values) % batch_size == 0:
        return float(np.mean(values)) if len(values) else float("nan")
    starts = np.arange(0, len(values), batch_size)
    sizes = np.minimum(batch_size, len(values) - starts)
    return float(np.mean(np.add.reduceat(values, starts) / sizes))


def rounding_of(value: float, *, exact: bool = True, scale: float = 1.0, per_token: float = 1.0) -> float:
    """Return by how much a logged mean may differ from the recomputed mean by rounding, in the unit of ``value``.

    Args:
        value: the logged mean.
        exact: whether training and scoring were in float32.
        scale: beta for a reward in 16 bits, since a reward is beta times a difference of log-probs.
        per_token: tokens that the value is an average over; 1 for a sum.
    """
    if exact:
        return EXACT / per_token + RELATIVE * abs(value)
    return COARSE * scale / per_token + COARSE_RELATIVE * abs(value)
