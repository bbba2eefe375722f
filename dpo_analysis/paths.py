"""Pairs over training: one number of each pair at every checkpoint of a series, without a table of all pairs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dpo_analysis.quantities import Setting, quantities
from dpo_analysis.runs import Run
from dpo_analysis.selection import choose_models
from dpo_analysis.sums import inputs


def pair_paths(
    run: Run, pair_ids: Sequence[str], *, series: str, column: str = "chosen_reward", beta: float | None = None
) -> pd.DataFrame:
    """One row per pair in the order given, one column per checkpoint of ``series``; NaN where a pair does not count.

    Args:
        run: an open run.
        pair_ids: pairs of this run; an unknown one is a row of NaN.
        series: whose checkpoints.
        column: a number of the pair table, in its unit (``schema.PAIR``).
        beta: None for the series' own.

    Raises:
        InputError: no such series.
        StorageError: a part is damaged.
    """
    places = pd.Series(np.arange(len(inputs(run).pairs)), index=inputs(run).pairs["pair_id"]).reindex(pair_ids)
    known = places.notna().to_numpy()
    rows = places[known].to_numpy(dtype=int)
    policies = choose_models(run, series)
    paths = np.full((len(pair_ids), len(policies)), np.nan)
    for place, policy in enumerate(policies):
        numbers = quantities(run, policy, Setting(beta))
        paths[known, place] = np.where(numbers["used"], numbers[column], np.nan)[rows]
    return pd.DataFrame(paths, index=list(pair_ids), columns=[policy.name for policy in policies])
