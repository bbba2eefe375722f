"""Logging windows: how many pairs a value that a trainer logged while training is the mean of."""

from typing import NamedTuple

import pandas as pd

from dpo_analysis.runs import Series


class LoggingWindow(NamedTuple):
    """The pairs that a logged training value is the mean of.

    Attributes:
        n_pairs: pairs of a window; with several processes it holds more.
        batch_known: whether the batch size is known; without it a batch counts as one pair.
    """

    n_pairs: int
    batch_known: bool


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
