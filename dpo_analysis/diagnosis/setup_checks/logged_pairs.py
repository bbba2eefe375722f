"""What a trainer's log says of the values in it: how many pairs an evaluation, or a logging window, is the mean of."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from dpo_analysis.runs import Series

RUNTIME_ROUNDING, RATE_ROUNDING = 0.5e-4, 0.5e-3
"""transformers rounds the runtime of an evaluation to 4 decimals, and its samples per second to 3."""
WHOLE_PAIRS = 1e-3
"""Pairs by which a logged share of pairs, times their number, may miss a whole number: shares are logged as float32."""


class EvaluatedPairs(NamedTuple):
    """Whether a trainer evaluated as many pairs as a split of the run has.

    Attributes:
        same: True where it did, False where it did not, None where the log does not say.
        n: pairs that the trainer evaluated; 0 where the log does not say.
    """

    same: bool | None
    n: int


class LoggingWindow(NamedTuple):
    """The pairs that a logged training value is the mean of.

    Attributes:
        n_pairs: pairs of a window; with several processes it holds more.
        batch_known: whether the batch size is known; without it a batch counts as one pair.
    """

    n_pairs: int
    batch_known: bool


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


def logging_window(series: Series, steps: pd.Series) -> LoggingWindow:
    """Return how many pairs a logged training value of ``series`` is the mean of.

    Args:
        series: the series, with the trainer's settings in its parameters where they are known.
        steps: the steps at which training values were logged.
    """
    settings = series.parameters
    apart = steps.drop_duplicates().sort_values().diff().dropna()
    every = int(settings.get("logging_steps") or (apart.median() if len(apart) else 1))
    batch = int(settings.get("per_device_train_batch_size") or 0)
    repeats = int(settings.get("gradient_accumulation_steps") or 1) * int(settings.get("n_devices") or 1)
    return LoggingWindow(max(every, 1) * max(batch, 1) * repeats, batch > 0)
