"""Which curves share an axis: the charts of ``curves.py`` as data."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric as one line: its mark, and its value under the reference (its start, where training began there)."""

    metric: str
    mark: str
    reference: Callable[[pd.Series], float] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves that share one y axis."""

    name: str
    curves: tuple[Curve, ...]
    unit_of: str
    share: bool = False


def zero(_: pd.Series) -> float:
    """The reward of the reference itself, exactly."""
    return 0.0


REWARD = Chart(
    "reward",
    (
        Curve("chosen_reward", "chosen", zero),
        Curve("rejected_reward", "rejected", zero),
        Curve("margin", "margin", zero),
    ),
    "chosen_reward",
)
LOGP = Chart(
    "logp",
    (
        Curve("chosen_logps_per_token", "chosen", lambda row: row.chosen_logps_per_token - row.chosen_drift_per_token),
        Curve(
            "rejected_logps_per_token",
            "rejected",
            lambda row: row.rejected_logps_per_token - row.rejected_drift_per_token,
        ),
    ),
    "log_ratio_per_token",
)
ACCURACY = Chart(
    "accuracy",
    (Curve("accuracy", "policy"), Curve("ranking_accuracy", "reference", lambda row: row.reference_ranking_accuracy)),
    "",
    share=True,
)

LOGGED_AS = {"accuracy": "accuracy_trl"}
"""Metrics whose logged counterpart has another definition: a trainer counts ties as losses."""
