"""Run -> pandas tables: one row per pair, response, token, response position, or checkpoint and split.

``beta=None`` and ``loss_type=None`` mean each series' own; ``series``, ``model`` and ``split`` keep what they name (one
name or several; a model is NAME or SERIES/NAME). Parts that are not scored yet are shown as such, never guessed.
Units and meanings of the columns stand in ``schema.COLUMNS``.
"""

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import Setting, quantities
from dpo_analysis.arrays.response_sums import counted, inputs, statuses, sums
from dpo_analysis.arrays.selection import Names, choose_models, choose_pairs, names
from dpo_analysis.numerics import metrics
from dpo_analysis.runs import Model, Run
from dpo_analysis.schema import CHOSEN, PENDING, SIDES, STATUSES
from dpo_analysis.tables.positions import position_table
from dpo_analysis.tables.tokens import token_table

__all__ = ["pair_table", "position_table", "response_table", "step_table", "token_table"]

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
STEP_KEYS = ["series", "model", "step", "split", "n_pairs", "n_used"]


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
    """One row per policy and pair, whatever its status; numbers are NaN where the pair does not count.

    Columns as in ``schema.PAIR``, and every numeric column of the source as ``meta.<name>``, unless ``source`` is
    False: those are read from the rows as text, which takes most of the time.

    Raises:
        InputError: nothing in the run is called so, or the loss is no function of one pair.
        StorageError: a part is damaged.
    """
    setting = Setting(beta, loss_type)
    keys, kept = _keys(run, setting, split)
    added = source_numbers(run).loc[keys["pair_id"]].set_index(keys.index) if source else pd.DataFrame(index=keys.index)
    frames = []
    for policy in choose_models(run, series, model):
        numbers = quantities(run, policy, setting)
        columns = {"status": numbers["status"][kept]}
        columns |= {name: np.where(numbers["used"], numbers[name], np.nan)[kept] for name in PAIR_NUMBERS}
        columns |= {f"{side}_n_tokens": _whole(numbers[f"{side}_n_tokens"][kept]) for side in SIDES}
        frames.append(pd.concat([_named(keys, policy), pd.DataFrame(columns), added], axis=1))
    return _stacked(frames, PAIR_COLUMNS)


def response_table(
    run: Run, *, beta: float | None = None, series: Names = None, model: Names = None, split: Names = None
) -> pd.DataFrame:
    """One row per policy, pair and side, whatever its status; columns as in ``schema.RESPONSE``, NaN as in pair_table.

    Raises:
        InputError: nothing in the run is called so.
        StorageError: a part is damaged.
    """
    setting = Setting(beta)
    keys, kept = _keys(run, setting, split)
    frames = []
    for policy in choose_models(run, series, model):
        numbers = quantities(run, policy, setting)
        sides = [_named(keys, policy).assign(**_response(numbers, kept, side)) for side in SIDES]
        frames.append(pd.concat(sides).sort_index(kind="stable"))
    return _stacked(frames, RESPONSE_COLUMNS).reindex(columns=RESPONSE_COLUMNS)


def step_table(
    run: Run,
    *,
    beta: float | None = None,
    loss_type: str | Sequence[str] | None = None,
    series: Names = None,
    model: Names = None,
    split: Names = None,
) -> pd.DataFrame:
    """One row per policy and split: n_pairs, n_used, then every metric with ``_low`` and ``_high``.

    A pair counts when both responses are scored under policy and reference; with no such pair the metrics are NaN.
    Intervals: 95 %, 1000 resamples of groups, seed 0 (``intervals``).

    Raises:
        InputError: nothing in the run is called so, or the loss is no function of one pair.
        StorageError: a part is damaged.
    """
    setting = Setting(beta, loss_type)
    kept = _keys(run, setting, split)[1]
    pairs = inputs(run).pairs
    splits = pairs["split"].to_numpy(dtype=object)
    groups = {name: pd.factorize(pairs["group_id"].where(splits == name))[0] for name in names(split) or run.splits}
    rows = []
    for policy in choose_models(run, series, model):
        numbers = quantities(run, policy, setting)
        for name, codes in groups.items():
            here = kept & (splits == name)
            used = here & numbers["used"]
            row = {"series": policy.series, "model": policy.name, "step": policy.step, "split": name}
            row |= {"n_pairs": int(here.sum()), "n_used": int(used.sum())}
            counted = {key: values[used] for key, values in numbers.items()}
            rows.append(row | metrics.summary(counted, codes[used], int(codes.max(initial=-1)) + 1))
    columns = [f"{name}{end}" for name in metrics.METRICS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*STEP_KEYS, *columns]).astype({"step": "Int64"})


def status_table(run: Run, *, split: Names = None) -> pd.DataFrame:
    """One row per policy: series, model, ``used`` (pairs that count), and the number of pairs of every status.

    Raises:
        InputError: the run has no such split.
        StorageError: a part is damaged.
    """
    kept, rows = _keys(run, Setting(), split)[1], []
    for policy in run.models:
        found = Counter(statuses(run, policy)[kept].tolist())
        counts = {name: found.get(name, 0) for name in (*STATUSES, PENDING)}
        rows.append(
            {"series": policy.series, "model": policy.name, "used": int(counted(run, policy)[kept].sum()), **counts}
        )
    return pd.DataFrame(rows, columns=["series", "model", "used", *STATUSES, PENDING])


def _keys(run: Run, setting: Setting, split: Names) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """pair_id, group_id and split of the pairs that are kept, and which of all pairs those are."""
    setting.check(run)
    pairs = inputs(run).pairs
    kept = choose_pairs(run, pairs["split"].to_numpy(dtype=object), split)
    return pairs.loc[kept, ["pair_id", "group_id", "split"]].reset_index(drop=True), kept


def _named(keys: pd.DataFrame, policy: Model) -> pd.DataFrame:
    step = pd.array([policy.step] * len(keys), dtype="Int64")
    return keys.assign(series=policy.series, model=policy.name, step=step)


def _response(numbers: dict[str, NDArray], kept: NDArray[np.bool_], side: str) -> dict[str, object]:
    named = {
        "logps": f"{side}_logps",
        "reference_logps": f"reference_{side}_logps",
        "log_ratio": f"{side}_log_ratio",
        "reward": f"{side}_reward",
    }
    columns = {name: np.where(numbers["used"], numbers[source], np.nan)[kept] for name, source in named.items()}
    n_tokens = numbers[f"{side}_n_tokens"][kept]
    return {
        "side": side,
        "status": numbers["status"][kept],
        "n_tokens": _whole(n_tokens),
        **columns,
        "log_ratio_per_token": columns["log_ratio"] / n_tokens,
    }


def _whole(values: NDArray) -> object:
    return pd.array(values, dtype="Int64")


def _stacked(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(columns))


def source_numbers(run: Run) -> pd.DataFrame:
    """By pair_id: the columns of the source rows that hold numbers wherever they hold anything, as ``meta.<name>``.

    Raises:
        StorageError: a part is damaged.
    """
    read = run.pairs(columns=["pair_id", "source"])
    rows = [json.loads(text) if text else {} for text in read["source"].to_pylist()]
    found: dict[str, NDArray[np.float64]] = {}
    other: set[str] = set()
    for place, row in enumerate(rows):
        for name, value in row.items() if isinstance(row, dict) else ():
            if value is None or name in other:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                other.add(name)
                continue
            if name not in found:
                found[name] = np.full(len(rows), np.nan)
            found[name][place] = value
    numbers = {f"meta.{name}": values for name, values in found.items() if name not in other}
    return pd.DataFrame(numbers, index=pd.Index(read["pair_id"].to_pylist(), name="pair_id"))


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
