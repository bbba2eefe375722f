"""Tables with one row per pair: their numbers under each policy, numbers of their source rows, rewards by checkpoint.

In all tables ``beta=None`` and ``loss_type=None`` mean those of each series; ``series``, ``model`` and ``split`` select
by name (a name or several; a model is NAME or SERIES/NAME; None keeps all). Parts that are not scored yet have the
status ``pending``. Units and meanings of the columns stand in ``schema.COLUMNS``.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import LossSettings, pair_quantities
from dpo_analysis.arrays.response_sums import counted_pairs, pair_index, response_sums
from dpo_analysis.arrays.selection import Names, choose_models, split_mask
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.parts import source_row
from dpo_analysis.schema import CHOSEN, SIDES

PAIR_NUMBERS = (
    "chosen_logps",
    "rejected_logps",
    "reference_chosen_logps",
    "reference_rejected_logps",
    "reference_margin",
    "chosen_log_ratio",
    "rejected_log_ratio",
    "chosen_reward",
    "rejected_reward",
    "margin",
    "loss",
    "gradient_weight",
)
KEYS = ["pair_id", "group_id", "split", "series", "model", "step"]
PAIR_COLUMNS = [*KEYS, "status", *PAIR_NUMBERS, "chosen_n_tokens", "rejected_n_tokens"]


def pair_table(
    run: Run,
    *,
    beta: float | None = None,
    loss_type: str | Sequence[str] | None = None,
    series: Names = None,
    model: Names = None,
    split: Names = None,
    source: bool = True,
) -> pd.DataFrame:
    """Return one row per policy and pair, whatever its status; numbers are NaN where the pair does not count.

    Args:
        run: an open run.
        beta: None for the beta of each series.
        loss_type: a TRL loss name or several; None for the loss of each series.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        split: only pairs of these splits.
        source: also every numeric column of the source rows as ``meta.<name>``. They are read from the rows' JSON
            text, which takes most of the time.

    Returns:
        Columns and units as in ``schema.PAIR``: logps, log-ratios and reference_margin in nats, rewards and margin in
        beta x nats, gradient_weight a share.

    Raises:
        InputError: nothing in the run has such a name, or the loss is no function of a single pair.
        StorageError: a part is damaged.
    """
    settings = LossSettings(beta, loss_type)
    keys, mask = pair_keys(run, settings, split)
    added = source_numbers(run).loc[keys["pair_id"]].set_index(keys.index) if source else pd.DataFrame(index=keys.index)
    frames = []
    for policy in choose_models(run, series, model):
        numbers = pair_quantities(run, policy, settings)
        columns = {"status": numbers["status"][mask]}
        columns |= {name: np.where(numbers["used"], numbers[name], np.nan)[mask] for name in PAIR_NUMBERS}
        columns |= {f"{side}_n_tokens": whole_numbers(numbers[f"{side}_n_tokens"][mask]) for side in SIDES}
        frames.append(pd.concat([with_policy(keys, policy), pd.DataFrame(columns), added], axis=1))
    return stacked(frames, PAIR_COLUMNS)


def source_numbers(run: Run) -> pd.DataFrame:
    """Return the numeric columns of the source rows by pair_id, named ``meta.<name>``, float64, NaN where absent.

    A column is numeric if every value in it is a number or null.

    Raises:
        StorageError: a part is damaged.
    """
    table = run.pairs(columns=["pair_id", "source"])
    rows = [source_row(text) for text in table["source"].to_pylist()]
    numbers: dict[str, NDArray[np.float64]] = {}
    other: set[str] = set()
    for index, row in enumerate(rows):
        for name, value in row.items() if isinstance(row, dict) else ():
            if value is None or name in other:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                other.add(name)
                continue
            if name not in numbers:
                numbers[name] = np.full(len(rows), np.nan)
            numbers[name][index] = value
    columns = {f"meta.{name}": values for name, values in numbers.items() if name not in other}
    return pd.DataFrame(columns, index=pd.Index(table["pair_id"].to_pylist(), name="pair_id"))


def pair_paths(
    run: Run, pair_ids: Sequence[str], *, series: str, side: str = CHOSEN, beta: float | None = None
) -> pd.DataFrame:
    """Return the implicit reward of a side at every checkpoint, beta x nats; NaN where a pair does not count.

    One row per pair in the given order, one column per checkpoint of ``series``.

    Args:
        run: an open run.
        pair_ids: pairs of this run; an unknown pair is a row of NaN.
        series: the series of the checkpoints.
        side: chosen or rejected.
        beta: None for the beta of the series.

    Raises:
        InputError: no such series, or beta is not above 0.
        StorageError: a part is damaged.
    """
    settings = LossSettings(beta)
    settings.check(run)
    ids = pair_index(run).pairs["pair_id"]
    present = ids[ids.isin(list(pair_ids))]
    places = pd.Series(present.index, index=present).reindex(list(pair_ids))
    known = places.notna().to_numpy()
    pairs = places[known].to_numpy(dtype=int)
    policies = choose_models(run, series)
    paths = np.full((len(pair_ids), len(policies)), np.nan)
    for column, policy in enumerate(policies):
        log_ratios = response_sums(run, policy).logps - response_sums(run, run.reference).logps
        rewards = settings.beta_of(run.series[policy.series]) * log_ratios[pairs, SIDES.index(side)]
        paths[known, column] = np.where(counted_pairs(run, policy)[pairs], rewards, np.nan)
    return pd.DataFrame(paths, index=list(pair_ids), columns=[policy.name for policy in policies])


def pair_keys(run: Run, settings: LossSettings, split: Names) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Return pair_id, group_id and split of the pairs in these splits, and a mask of all pairs, shape (pairs,).

    Raises:
        InputError: no such split, or as ``LossSettings.check``.
        StorageError: a part is damaged.
    """
    settings.check(run)
    pairs = pair_index(run).pairs
    mask = split_mask(run, pairs["split"].to_numpy(dtype=object), split)
    return pairs.loc[mask, ["pair_id", "group_id", "split"]].reset_index(drop=True), mask


def with_policy(frame: pd.DataFrame, policy: Model) -> pd.DataFrame:
    """Return the frame with the columns series, model and step (Int64, null without a step) of a policy."""
    step = pd.array([policy.step] * len(frame), dtype="Int64")
    return frame.assign(series=policy.series, model=policy.name, step=step)


def whole_numbers(values: NDArray) -> pd.api.extensions.ExtensionArray:
    """Return counts as Int64, in the shape of ``values``, null where NaN."""
    return pd.array(values, dtype="Int64")


def stacked(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Return the frames below each other; an empty frame with ``columns`` if none is given."""
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(columns))


def stacked_nonempty(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Return the frames that have rows below each other; an empty frame with ``columns`` if none has."""
    return stacked([frame for frame in frames if len(frame)], columns)
