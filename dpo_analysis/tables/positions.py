"""The mean over pairs at each position of the response: where in the answer the policy left its reference."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import Setting
from dpo_analysis.arrays.response_sums import counted, inputs, sums
from dpo_analysis.arrays.selection import Names, choose_models, choose_pairs, names
from dpo_analysis.errors import InputError
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.runs.summaries.store import PROFILE, read_summary
from dpo_analysis.schema import SIDES

POSITION_COLUMNS = ["series", "model", "step", "split", "side", "position", "n_used", "log_ratio", "reward"]


def position_table(
    run: Run, *, beta: float | None = None, series: Names = None, model: Names = None, split: Names = None
) -> pd.DataFrame:
    """Mean change of a token's log-prob at each position of the response, by policy, split and side.

    Columns: series, model, step, split, side, position (from 0), n_used (pairs that count and reach this position),
    log_ratio (nats) and reward (beta x nats), both means over those pairs.

    Raises:
        InputError: nothing in the run is called so.
        StorageError: a part is damaged.
    """
    setting = Setting(beta)
    setting.check(run)
    pairs = inputs(run).pairs
    splits = pairs["split"].to_numpy(dtype=object)
    kept = choose_pairs(run, splits, split)
    cells = names(split) or run.splits
    code = pd.Categorical(splits, categories=cells).codes.astype(np.int64)
    chosen = choose_models(run, series, model)
    frames = [
        _profile(run, policy, kept, code, cells).table(policy, cells, setting.beta_of(run.series[policy.series]))
        for policy in chosen
    ]
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=POSITION_COLUMNS)


def _profile(run: Run, policy: Model, kept: NDArray, code: NDArray, cells: list[str]) -> "_Profile":
    """What ``policy`` changed by position, over the pairs that count under it and under the reference."""
    profile = _Profile(len(cells))
    used = counted(run, policy)
    if all(np.array_equal(_summed(run, model), used) for model in (policy, run.reference)):
        profile.take(_arrays(run, policy, cells), _arrays(run, run.reference, cells))
        return profile
    rows, places = inputs(run).pairs["row"].to_numpy()[kept & used], code[kept & used]
    for part in run.parts_done(policy):
        tables = [run.scores(model, part, columns=["row", "side", "logp"]) for model in (policy, run.reference)]
        if all(map(len, tables)):
            profile.add(*_ratios(tables[0], tables[1], rows, places))
    return profile


def _summed(run: Run, model: Model) -> NDArray[np.bool_]:
    """Which pairs the summary of ``model`` by position adds up."""
    return np.isfinite(sums(run, model).logps).all(axis=1)


def _arrays(run: Run, model: Model, cells: list[str]) -> tuple[NDArray, NDArray]:
    """Counts and sums of log-probs, nats, of the summary of ``model``: two arrays (splits, sides, positions)."""
    table = read_summary(run, PROFILE, model).to_pandas()
    table = table[table["split"].isin(cells)]
    place = [pd.Categorical(table[name], categories=names).codes for name, names in (("split", cells), ("side", SIDES))]
    position = table["position"].to_numpy()
    n, logp = np.zeros((2, len(cells), len(SIDES), int(position.max(initial=0)) + 1))
    n[place[0], place[1], position], logp[place[0], place[1], position] = table["n"], table["logp"]
    return n.astype(np.int64), logp


def _ratios(own: pa.Table, reference: pa.Table, rows: NDArray, splits: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Per token of the wanted rows: place of its split and side, log-ratio in nats, and position."""
    tables = [_wanted(table, rows) for table in (own, reference)]
    lengths, policy = lists(tables[0]["logp"])
    others, base = lists(tables[1]["logp"])
    if not np.array_equal(lengths, others):
        raise InputError("policy and reference have other responses in one part; verify the run")
    row = tables[0]["row"].to_numpy()
    side = side_places(tables[0])
    split = splits[np.searchsorted(rows, row)] if len(row) else np.zeros(0, dtype=np.int64)
    position = np.arange(len(policy)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(split * len(SIDES) + side, lengths), rewards.log_ratio(policy, base), position


def _wanted(table: pa.Table, rows: NDArray) -> pa.Table:
    return table.filter(pa.array(np.isin(table["row"].to_numpy(), rows) & (side_places(table) >= 0)))


class _Profile:
    """Sums and counts of log-ratios by split, side and position, grown as longer responses come."""

    def __init__(self, n_splits: int) -> None:
        self._sums = np.zeros((n_splits, len(SIDES), 1))
        self._counts = np.zeros(self._sums.shape, dtype=np.int64)

    def add(self, place: NDArray, ratios: NDArray, position: NDArray) -> None:
        """Add tokens: the place of each one's split and side, its log-ratio in nats, and its position."""
        if not len(ratios):
            return
        more = max(0, int(position.max()) + 1 - self._sums.shape[2])
        self._sums, self._counts = (np.pad(array, ((0, 0), (0, 0), (0, more))) for array in (self._sums, self._counts))
        cell = place * self._sums.shape[2] + position
        self._sums += np.bincount(cell, ratios, self._sums.size).reshape(self._sums.shape)
        self._counts += np.bincount(cell, minlength=self._sums.size).reshape(self._sums.shape)

    def take(self, own: tuple[NDArray, NDArray], reference: tuple[NDArray, NDArray]) -> None:
        """Take counts and sums of log-probs of the same pairs under policy and reference."""
        assert np.array_equal(own[0], reference[0]), "the summaries of policy and reference count other tokens"
        self._counts, self._sums = own[0], own[1] - reference[1]

    def table(self, policy: Model, splits: list[str], beta: float) -> pd.DataFrame:
        """One row per split, side and position that some pair reaches, in ``POSITION_COLUMNS``."""
        split, side, position = np.nonzero(self._counts)
        counts = self._counts[split, side, position]
        means = self._sums[split, side, position] / counts
        return pd.DataFrame(
            {
                "series": policy.series,
                "model": policy.name,
                "step": pd.array([policy.step] * len(means), dtype="Int64"),
                "split": np.array(splits, dtype=object)[split],
                "side": np.array(SIDES, dtype=object)[side],
                "position": position,
                "n_used": counts,
                "log_ratio": means,
                "reward": beta * means,
            }
        )
