"""The table with one row per policy, pair and side."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import LossSettings, pair_quantities
from dpo_analysis.arrays.selection import Names, choose_models
from dpo_analysis.runs import Run
from dpo_analysis.schema import SIDES
from dpo_analysis.tables.pairs import pair_keys, stacked, whole_numbers, with_policy

RESPONSE_COLUMNS = [
    "pair_id",
    "side",
    "split",
    "series",
    "model",
    "step",
    "status",
    "n_tokens",
    "logps",
    "reference_logps",
    "log_ratio",
    "log_ratio_per_token",
    "reward",
]


def response_table(
    run: Run, *, beta: float | None = None, series: Names = None, model: Names = None, split: Names = None
) -> pd.DataFrame:
    """Return one row per policy, pair and side, whatever its status; numbers are NaN where the pair does not count.

    Args:
        run: an open run.
        beta: None for the beta of each series.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        split: only pairs of these splits.

    Returns:
        Columns and units as in ``schema.RESPONSE``: logps and log-ratios in nats, reward in beta x nats.

    Raises:
        InputError: nothing in the run has such a name.
        StorageError: a part is damaged.
    """
    settings = LossSettings(beta)
    keys, mask = pair_keys(run, settings, split)
    frames = []
    for policy in choose_models(run, series, model):
        numbers = pair_quantities(run, policy, settings)
        sides = [with_policy(keys, policy).assign(**_side_columns(numbers, mask, side)) for side in SIDES]
        frames.append(pd.concat(sides).sort_index(kind="stable"))
    return stacked(frames, RESPONSE_COLUMNS).reindex(columns=RESPONSE_COLUMNS)


def _side_columns(numbers: dict[str, NDArray], mask: NDArray[np.bool_], side: str) -> dict[str, Any]:
    sources = {
        "logps": f"{side}_logps",
        "reference_logps": f"reference_{side}_logps",
        "log_ratio": f"{side}_log_ratio",
        "reward": f"{side}_reward",
    }
    columns = {name: np.where(numbers["used"], numbers[source], np.nan)[mask] for name, source in sources.items()}
    n_tokens = numbers[f"{side}_n_tokens"][mask]
    return {
        "side": side,
        "status": numbers["status"][mask],
        "n_tokens": whole_numbers(n_tokens),
        **columns,
        "log_ratio_per_token": columns["log_ratio"] / n_tokens,
    }
