"""Pairs over training: the reward of each pair at every checkpoint of a series, without a table of all pairs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dpo_analysis.arrays.pair_quantities import Setting
from dpo_analysis.arrays.response_sums import counted, inputs, sums
from dpo_analysis.arrays.selection import choose_models
from dpo_analysis.runs import Run
from dpo_analysis.schema import CHOSEN, SIDES


def pair_paths(
    run: Run, pair_ids: Sequence[str], *, series: str, side: str = CHOSEN, beta: float | None = None
) -> pd.DataFrame:
    """The implicit reward of one side, beta x nats; NaN where a pair does not count.

    One row per pair in the order given, one column per checkpoint of ``series``.

    Args:
        run: an open run.
        pair_ids: pairs of this run; an unknown one is a row of NaN.
        series: whose checkpoints.
        side: chosen or rejected.
        beta: None for the series' own.

    Raises:
        InputError: no such series, or beta is not above 0.
        StorageError: a part is damaged.
    """
    setting = Setting(beta)
    setting.check(run)
    ids = inputs(run).pairs["pair_id"]
    near = ids[ids.isin(list(pair_ids))]
    places = pd.Series(near.index, index=near).reindex(pair_ids)
    known = places.notna().to_numpy()
    rows = places[known].to_numpy(dtype=int)
    policies = choose_models(run, series)
    paths = np.full((len(pair_ids), len(policies)), np.nan)
    for place, policy in enumerate(policies):
        logps = (sums(run, policy).logps - sums(run, run.reference).logps)[rows, SIDES.index(side)]
        rewards = setting.beta_of(run.series[policy.series]) * logps
        paths[known, place] = np.where(counted(run, policy)[rows], rewards, np.nan)
    return pd.DataFrame(paths, index=list(pair_ids), columns=[policy.name for policy in policies])
