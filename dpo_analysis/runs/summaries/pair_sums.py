"""Sums over a table of token scores, independent of beta: by pair and side, and by position in the response."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.numerics.segments import segment_positions
from dpo_analysis.runs.list_columns import compute as pc
from dpo_analysis.runs.list_columns import flatten_lists, list_sums, side_indices
from dpo_analysis.schema import PAIR_INDEX_SCHEMA, PAIR_SUMS_SCHEMA, POSITION_SUMS_SCHEMA, SCORED, SIDES

SCORE_COLUMNS = ("row", "side", "status", "logp", "logps", "entropy")
"""The columns of the scores that are read."""


def pair_index_table(pairs: pa.Table, responses: pa.Table) -> pa.Table:
    """Return the pairs with the lengths of their responses (tokens) in ``PAIR_INDEX_SCHEMA``, a row per pair.

    A length is null where the pair is not scored, and where the response has no tokens since it was imported.

    Args:
        pairs: ``PAIRS_SCHEMA``, of which row, pair_id, group_id, split and status are read.
        responses: ``RESPONSES_SCHEMA``, of which row, side and token_ids are read.
    """
    rows = pairs["row"].to_numpy()
    lengths, _ = flatten_lists(responses["token_ids"])
    n_tokens = _by_pair_and_side(rows, responses, np.where(lengths > 0, lengths, np.nan))
    columns = [pairs[name] for name in ("row", "pair_id", "group_id", "split", "status")]
    columns += [pa.array(column, pa.int64(), mask=np.isnan(column)) for column in n_tokens.T]
    return pa.table(columns, schema=PAIR_INDEX_SCHEMA)


def sum_by_pair(scores: pa.Table) -> pa.Table:
    """Return log-prob and entropy summed over each response, nats, in ``PAIR_SUMS_SCHEMA``, a row per pair.

    NaN where the response has no values or the status of the pair is not one of ``SCORED``.
    """
    rows = np.unique(scores["row"].to_numpy()[side_indices(scores) >= 0])
    summed = list_sums(scores["logp"])
    stored = scores["logps"].to_pandas().to_numpy(dtype=np.float64)
    logps = _by_pair_and_side(rows, scores, np.where(np.isnan(summed), stored, summed))
    entropy = _by_pair_and_side(rows, scores, list_sums(scores["entropy"]))
    last = pa.array(np.searchsorted(scores["row"].to_numpy(), rows, side="right") - 1)
    status = scores["status"].take(last)
    flagged = ~pc.is_in(status, pa.array(SCORED)).to_numpy()
    for values in (logps, entropy):
        values[flagged] = np.nan
    columns = [pa.array(rows), status, *map(pa.array, (*logps.T, *entropy.T))]
    return pa.table(columns, schema=PAIR_SUMS_SCHEMA)


def sum_by_position(scores: pa.Table, pair_index: pa.Table, sums: pa.Table) -> pa.Table:
    """Return log-probs summed by split, side and position, nats, in ``POSITION_SUMS_SCHEMA``.

    Only pairs with finite sums on both sides count.

    Args:
        scores: ``SCORES_SCHEMA`` of one or more parts.
        pair_index: ``PAIR_INDEX_SCHEMA`` of the same pairs or more.
        sums: ``sum_by_pair(scores)``.
    """
    counted = np.isin(scores["row"].to_numpy(), finite_rows(sums)) & (side_indices(scores) >= 0)
    if not counted.all():
        scores = scores.filter(pa.array(counted))
    lengths, values = flatten_lists(scores["logp"])
    if not len(values):
        return POSITION_SUMS_SCHEMA.empty_table()
    splits = pc.unique(pair_index["split"]).sort()
    split = pair_index["split"].take(pc.index_in(scores["row"], pair_index["row"].combine_chunks()))
    split_and_side = pc.index_in(split, splits).to_numpy() * len(SIDES) + side_indices(scores)
    position = segment_positions(lengths)
    longest = int(position.max()) + 1
    bins = np.repeat(split_and_side, lengths) * longest + position
    shape = len(splits), len(SIDES), longest
    return position_table(
        splits.to_pylist(),
        np.bincount(bins, minlength=np.prod(shape)).reshape(shape),
        np.bincount(bins, values, np.prod(shape)).reshape(shape).astype(np.float64, copy=False),
    )


def position_table(splits: list[str], n: NDArray[np.int64], logp: NDArray[np.float64]) -> pa.Table:
    """Return counts and sums as ``POSITION_SUMS_SCHEMA``, a row for each position that some response reaches.

    Args:
        splits: the names of the splits.
        n: number of responses that reach a position, shape (splits, sides, positions).
        logp: their summed log-prob there, nats, shape (splits, sides, positions).
    """
    split, side, position = np.nonzero(n)
    columns = [
        pa.array(np.array(splits, dtype=object)[split], pa.string()),
        pa.array(np.array(SIDES, dtype=object)[side], pa.string()),
        pa.array(position, pa.int32()),
        pa.array(n[split, side, position], pa.int64()),
        pa.array(logp[split, side, position]),
    ]
    return pa.table(columns, schema=POSITION_SUMS_SCHEMA)


def finite_rows(sums: pa.Table) -> NDArray[np.int64]:
    """Return the rows of pairs with a finite log-prob of both responses, sorted, shape (pairs,)."""
    finite = np.isfinite([sums[f"{side}_logps"].to_numpy() for side in SIDES]).all(axis=0)
    return sums["row"].to_numpy()[finite]


def add_up(tables: list[pa.Table], keys: Sequence[str], table_schema: pa.Schema) -> pa.Table:
    """Return the counts and sums (n, logp) of several parts added up by ``keys``, sorted by ``keys``."""
    table = pa.concat_tables([table_schema.empty_table(), *tables])
    summed = table.group_by(list(keys), use_threads=False).aggregate([("n", "sum"), ("logp", "sum")])
    summed = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
    return summed.select(table_schema.names).sort_by([(key, "ascending") for key in keys]).cast(table_schema)


def _by_pair_and_side(rows: NDArray[np.int64], table: pa.Table, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``values``, one per row of ``table``, as an array of shape (pairs, sides); NaN where there is no value.

    Args:
        rows: the rows of the pairs, sorted, shape (pairs,); other rows of ``table`` are left out.
        table: its columns row and side are read.
        values: shape (rows of ``table``,).
    """
    result = np.full((len(rows), len(SIDES)), np.nan)
    side = side_indices(table)
    known = side >= 0
    table_rows = table["row"].to_numpy()[known]
    pair = np.minimum(np.searchsorted(rows, table_rows), max(0, len(rows) - 1))
    found = rows[pair] == table_rows if len(rows) else np.zeros(0, dtype=bool)
    result[pair[found], side[known][found]] = values[known][found]
    return result
