"""The mean change over pairs at each position of the response."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import LossSettings
from dpo_analysis.arrays.response_sums import counted_pairs, pair_index, response_sums
from dpo_analysis.arrays.selection import Names, choose_models, name_list, split_mask
from dpo_analysis.errors import InputError
from dpo_analysis.numerics import rewards
from dpo_analysis.numerics.segments import segment_positions
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.runs.summaries.store import POSITION_SUMS, read_summary
from dpo_analysis.schema import SIDES
from dpo_analysis.tables.pairs import stacked_nonempty

POSITION_COLUMNS = ["series", "model", "step", "split", "side", "position", "n_used", "log_ratio", "reward"]


def position_table(
    run: Run, *, beta: float | None = None, series: Names = None, model: Names = None, split: Names = None
) -> pd.DataFrame:
    """Return the mean change of a token's log-prob at each position of the response, by policy, split and side.

    Args:
        run: an open run.
        beta: None for the beta of each series.
        series: only these series.
        model: only these policies, NAME or SERIES/NAME.
        split: only these splits.

    Returns:
        Columns: series, model, step, split, side, position (from 0), n_used (pairs that count and reach this position),
        log_ratio (nats) and reward (beta x nats), both means over those pairs.

    Raises:
        InputError: nothing in the run has such a name.
        StorageError: a part is damaged.
    """
    settings = LossSettings(beta)
    settings.check(run)
    pairs = pair_index(run).pairs
    splits = pairs["split"].to_numpy(dtype=object)
    mask = split_mask(run, splits, split)
    split_names = name_list(split) or run.splits
    codes = pd.Categorical(splits, categories=split_names).codes.astype(np.int64)
    frames = []
    for policy in choose_models(run, series, model):
        profile = _profile_of(run, policy, mask, codes, split_names)
        frames.append(profile.table(policy, split_names, settings.beta_of(run.series[policy.series])))
    return stacked_nonempty(frames, POSITION_COLUMNS)


def _profile_of(run: Run, policy: Model, mask: NDArray, codes: NDArray, split_names: list[str]) -> "_Profile":
    """Return the changes under ``policy`` by position, over the pairs that count, from the summaries if they fit."""
    profile = _Profile(len(split_names))
    used = counted_pairs(run, policy)
    # The summaries add up every pair that is complete under their own model.
    if all(np.array_equal(response_sums(run, model).complete, used) for model in (policy, run.reference)):
        profile.set(_summary(run, policy, split_names), _summary(run, run.reference, split_names))
        return profile
    rows, codes = pair_index(run).rows[mask & used], codes[mask & used]
    for part in run.parts_done(policy):
        tables = [run.scores(model, part, columns=["row", "side", "logp"]) for model in (policy, run.reference)]
        if all(map(len, tables)):
            profile.add(*_log_ratios(tables[0], tables[1], rows, codes))
    return profile


def _summary(run: Run, model: Model, split_names: list[str]) -> tuple[NDArray, NDArray]:
    """Return counts and summed log-probs, nats, of the summary of ``model``: two arrays (splits, sides, positions)."""
    table = read_summary(run, POSITION_SUMS, model).to_pandas()
    table = table[table["split"].isin(split_names)]
    split = pd.Categorical(table["split"], categories=split_names).codes
    side = pd.Categorical(table["side"], categories=SIDES).codes
    position = table["position"].to_numpy()
    n, logp = np.zeros((2, len(split_names), len(SIDES), int(position.max(initial=0)) + 1))
    n[split, side, position], logp[split, side, position] = table["n"], table["logp"]
    return n.astype(np.int64), logp


def _log_ratios(
    policy: pa.Table, reference: pa.Table, rows: NDArray, codes: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Return for each token of these rows the index of its split and side, its log-ratio in nats, and its position."""
    policy, reference = _select_rows(policy, rows), _select_rows(reference, rows)
    lengths, policy_logp = flatten_lists(policy["logp"])
    reference_lengths, reference_logp = flatten_lists(reference["logp"])
    if not np.array_equal(lengths, reference_lengths):
        raise InputError("policy and reference have different responses in one part; verify the run")
    row = policy["row"].to_numpy()
    split = codes[np.searchsorted(rows, row)] if len(row) else np.zeros(0, dtype=np.int64)
    split_and_side = np.repeat(split * len(SIDES) + side_indices(policy), lengths)
    return split_and_side, rewards.log_ratio(policy_logp, reference_logp), segment_positions(lengths)


def _select_rows(table: pa.Table, rows: NDArray) -> pa.Table:
    return table.filter(pa.array(np.isin(table["row"].to_numpy(), rows) & (side_indices(table) >= 0)))


class _Profile:
    """Sums and counts of log-ratios, nats, by split, side and position; longer responses add positions."""

    def __init__(self, n_splits: int) -> None:
        self._sums = np.zeros((n_splits, len(SIDES), 1))
        self._counts = np.zeros(self._sums.shape, dtype=np.int64)

    def add(self, split_and_side: NDArray, log_ratios: NDArray, position: NDArray) -> None:
        """Add tokens, all arrays of shape (tokens,): the index of split and side, the log-ratio, nats, the position."""
        if not len(log_ratios):
            return
        more = max(0, int(position.max()) + 1 - self._sums.shape[2])
        self._sums, self._counts = (np.pad(array, ((0, 0), (0, 0), (0, more))) for array in (self._sums, self._counts))
        index = split_and_side * self._sums.shape[2] + position
        self._sums += np.bincount(index, log_ratios, self._sums.size).reshape(self._sums.shape)
        self._counts += np.bincount(index, minlength=self._sums.size).reshape(self._sums.shape)

    def set(self, policy: tuple[NDArray, NDArray], reference: tuple[NDArray, NDArray]) -> None:
        """Set counts and sums of log-probs, nats, of the same pairs under policy and reference."""
        assert np.array_equal(policy[0], reference[0]), "the summaries of policy and reference count other tokens"
        self._counts, self._sums = policy[0], policy[1] - reference[1]

    def table(self, policy: Model, split_names: list[str], beta: float) -> pd.DataFrame:
        """Return one row per split, side and position that some pair reaches, in ``POSITION_COLUMNS``."""
        split, side, position = np.nonzero(self._counts)
        counts = self._counts[split, side, position]
        means = self._sums[split, side, position] / counts
        return pd.DataFrame(
            {
                "series": policy.series,
                "model": policy.name,
                "step": pd.array([policy.step] * len(means), dtype="Int64"),
                "split": np.array(split_names, dtype=object)[split],
                "side": np.array(SIDES, dtype=object)[side],
                "position": position,
                "n_used": counts,
                "log_ratio": means,
                "reward": beta * means,
            }
        )
