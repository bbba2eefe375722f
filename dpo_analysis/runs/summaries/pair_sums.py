"""What a table of token scores comes to, beta-free: one line per pair, and sums by place in the response."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpo_analysis.runs.list_columns import list_sums, lists, side_places
from dpo_analysis.schema import INPUTS_SCHEMA, PROFILE_SCHEMA, SCORED, SIDES, SUMS_SCHEMA

SCORE_COLUMNS = ("row", "side", "status", "logp", "logps", "entropy")
"""What of the scores is read."""


def inputs_of(pairs: pa.Table, responses: pa.Table) -> pa.Table:
    """One line per pair with its lengths, in ``INPUTS_SCHEMA``; a response without tokens was imported: none is known.

    Args:
        pairs: ``PAIRS_SCHEMA``, of which row, pair_id, group_id, split and status are read.
        responses: ``RESPONSES_SCHEMA``, of which row, side and token_ids are read.
    """
    rows = pairs["row"].to_numpy()
    lengths, _ = lists(responses["token_ids"])
    n_tokens = _by_side(rows, responses, np.where(lengths > 0, lengths, np.nan))
    columns = [pairs[name] for name in ("row", "pair_id", "group_id", "split", "status")]
    columns += [pa.array(column, pa.int64(), mask=np.isnan(column)) for column in n_tokens.T]
    return pa.table(columns, schema=INPUTS_SCHEMA)


def sums_of(scores: pa.Table) -> pa.Table:
    """One line per pair in ``SUMS_SCHEMA``; NaN where the response has no values or the pair is flagged."""
    rows = np.unique(scores["row"].to_numpy()[side_places(scores) >= 0])
    totals = list_sums(scores["logp"])
    stored = scores["logps"].to_pandas().to_numpy(dtype=np.float64)
    logps = _by_side(rows, scores, np.where(np.isnan(totals), stored, totals))
    entropy = _by_side(rows, scores, list_sums(scores["entropy"]))
    last = pa.array(np.searchsorted(scores["row"].to_numpy(), rows, side="right") - 1)
    status = scores["status"].take(last)
    flagged = ~pc.is_in(status, pa.array(SCORED)).to_numpy()
    for values in (logps, entropy):
        values[flagged] = np.nan
    columns = [pa.array(rows), status, *map(pa.array, (*logps.T, *entropy.T))]
    return pa.table(columns, schema=SUMS_SCHEMA)


def profile_of(scores: pa.Table, inputs: pa.Table, sums: pa.Table) -> pa.Table:
    """Sums by split, side and position in ``PROFILE_SCHEMA``, over the pairs with finite sums on both sides.

    Args:
        scores: ``SCORES_SCHEMA`` of one or more parts.
        inputs: ``INPUTS_SCHEMA`` of the same pairs or more.
        sums: ``sums_of(scores)``.
    """
    counted = np.isin(scores["row"].to_numpy(), whole_rows(sums)) & (side_places(scores) >= 0)
    if not counted.all():
        scores = scores.filter(pa.array(counted))
    lengths, values = lists(scores["logp"])
    if not len(values):
        return PROFILE_SCHEMA.empty_table()
    splits = pc.unique(inputs["split"]).sort()
    own = inputs["split"].take(pc.index_in(scores["row"], inputs["row"].combine_chunks()))
    cell = pc.index_in(own, splits).to_numpy() * len(SIDES) + side_places(scores)
    position = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = int(position.max()) + 1
    place = np.repeat(cell, lengths) * width + position
    size = len(splits) * len(SIDES) * width
    return profile_table(
        splits.to_pylist(),
        np.bincount(place, minlength=size).reshape(-1, len(SIDES), width),
        np.bincount(place, values, size).reshape(-1, len(SIDES), width),
    )


def profile_table(splits: list[str], n: NDArray[np.int64], logp: NDArray[np.float64]) -> pa.Table:
    """Arrays (splits, sides, positions) of counts and sums as ``PROFILE_SCHEMA``, one line where a pair reaches."""
    split, side, position = np.nonzero(n)
    columns = [
        pa.array(np.array(splits, dtype=object)[split], pa.string()),
        pa.array(np.array(SIDES, dtype=object)[side], pa.string()),
        pa.array(position, pa.int32()),
        pa.array(n[split, side, position], pa.int64()),
        pa.array(logp[split, side, position]),
    ]
    return pa.table(columns, schema=PROFILE_SCHEMA)


def whole_rows(sums: pa.Table) -> NDArray[np.int64]:
    """The rows that the sums over pairs count: those with finite sums on both sides, sorted."""
    whole = np.isfinite([sums[f"{side}_logps"].to_numpy() for side in SIDES]).all(axis=0)
    return sums["row"].to_numpy()[whole]


def joined(tables: list[pa.Table], keys: Sequence[str], table_schema: pa.Schema) -> pa.Table:
    """Counts and sums (n, logp) of several parts as one table, sorted by ``keys``."""
    table = pa.concat_tables([table_schema.empty_table(), *tables])
    summed = table.group_by(list(keys), use_threads=False).aggregate([("n", "sum"), ("logp", "sum")])
    summed = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
    return summed.select(table_schema.names).sort_by([(key, "ascending") for key in keys]).cast(table_schema)


def _by_side(rows: NDArray[np.int64], table: pa.Table, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``values``, one per line of ``table``, by pair and side, shape (pairs, sides); NaN where there is none."""
    result = np.full((len(rows), len(SIDES)), np.nan)
    side = side_places(table)
    known = side >= 0
    own = table["row"].to_numpy()[known]
    place = np.minimum(np.searchsorted(rows, own), max(0, len(rows) - 1))
    there = rows[place] == own if len(rows) else np.zeros(0, dtype=bool)
    result[place[there], side[known][there]] = values[known][there]
    return result
