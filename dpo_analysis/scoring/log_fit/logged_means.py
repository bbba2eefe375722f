"""Means that a trainer logged in an evaluation, and the same means from the scores of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dpo_analysis.runs import Model, Run, Series
from dpo_analysis.runs.summaries.store import read_pair_index
from dpo_analysis.schema import SCORED, SIDES
from dpo_analysis.trainer.evaluations import (
    EVALUATION_BATCH,
    LOSES_LONGEST_END,
    evaluated_pairs,
    mean_of_batches,
    rounding_of,
)

TRAINING = "train"
"""The trainer's word for values that it logged while training, which are means over other pairs."""
LOGPS = tuple(f"{side}_logps" for side in SIDES)
REWARDS = tuple(f"{side}_reward" for side in SIDES)


@dataclass(frozen=True, slots=True)
class LoggedPoint:
    """An evaluation of a scored policy in a trainer's log.

    Attributes:
        model: the policy.
        split: the run's split that was evaluated.
        logged: logged values by the names of this project's metrics.
        batch: pairs of an evaluation batch; None where the log does not say.
        exact: whether training and scoring were in float32, so that only its rounding may differ.
        averaged: whether log-probs and rewards are logged as averages over tokens.
        loses_longest_end: whether the trainer lost the last token of the longest sequence of each batch.
        same_pairs: whether the log holds as many evaluated pairs as the split; None where it does not say.
    """

    model: Model
    split: str
    logged: dict[str, float]
    batch: int | None
    exact: bool
    averaged: bool
    loses_longest_end: bool
    same_pairs: bool | None


def is_exact(parameters: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Return whether trainer and run both computed in float32, so that only rounding of float32 may differ.

    Args:
        parameters: of the series.
        identity: dtype and numerics of the run.
    """
    return (
        parameters.get("bf16") is False
        and parameters.get("saved_dtype") in (None, "float32")
        and identity.get("dtype") == "float32"
        and identity.get("numerics", "default") == "default"
        and "quantization" not in parameters
    )


def logged_points(run: Run, series: str) -> list[LoggedPoint]:
    """Return the evaluations of a series' scored policies in the trainer's log, in step order.

    Raises:
        StorageError: the log or a part is damaged.
    """
    curves = run.curves()
    if curves is None:
        return []
    index = read_pair_index(run).select(["split", "status"]).to_pandas()
    sizes = {str(split): (int(rows["status"].isin(SCORED).sum()), len(rows)) for split, rows in index.groupby("split")}
    models = [model for model in run.models if model.series == series]
    exact = is_exact(run.series[series].parameters, run.identity)
    return points_of(curves, run.series[series], models, sizes, exact=exact)


def points_of(
    curves: pa.Table, series: Series, models: Sequence[Model], sizes: Mapping[str, tuple[int, int]], *, exact: bool
) -> list[LoggedPoint]:
    """Return the evaluations of policies in a log, in step order.

    Args:
        curves: the log, ``schema.CURVES_SCHEMA``.
        series: the series.
        models: its policies.
        sizes: by split the pairs that are scored, and all pairs.
        exact: as in ``LoggedPoint``.
    """
    frame = curves.to_pandas()
    frame = frame[(frame["series"] == series.name) & (frame["split"] != TRAINING)]
    by_step = {model.step: model for model in models if model.step is not None}
    batch, lost = (series.parameters.get(name) for name in (EVALUATION_BATCH, LOSES_LONGEST_END))
    averaged = series.logged_logps == "mean"
    points = []
    for name, rows in frame.groupby("split"):
        split = str(name) if name in sizes else str(name).removeprefix("eval_")
        if split not in sizes:
            continue
        same = evaluated_pairs(rows, *sizes[split]).same
        for step, at_step in rows.dropna(subset=["value"]).groupby("step"):
            model = by_step.get(int(str(step)))
            if model is not None:
                logged = dict(zip(at_step["metric"], at_step["value"], strict=True))
                points.append(LoggedPoint(model, split, logged, batch, exact, averaged, bool(lost), same))
    return sorted(points, key=lambda point: point.model.step or 0)


def means(values: np.ndarray, point: LoggedPoint) -> np.ndarray:
    """Return the means of both sides as the trainer logs them, shape (sides,), of values of shape (pairs, sides)."""
    return np.array([mean_of_batches(column, point.batch) for column in values.T])


def farthest(
    values: np.ndarray, logged: np.ndarray, *, exact: bool, scale: float = 1.0, per_token: float = 1.0
) -> float:
    """Return the largest difference from logged values in multiples of their rounding; at most 1 fits.

    Args:
        values: recomputed means, shape (sides,).
        logged: logged means, shape (sides,).
        exact: as for ``rounding_of``.
        scale: as for ``rounding_of``.
        per_token: as for ``rounding_of``.
    """
    allowed = np.array([rounding_of(value, exact=exact, scale=scale, per_token=per_token) for value in logged])
    off = np.abs(values - logged) / allowed
    return float(off.max()) if np.isfinite(off).all() else float("inf")
