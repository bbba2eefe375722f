"""Token counts and log-probs of every pair summed by region, token kind or span, and by vocabulary entry.

A sum is linear in the log-probs, so the sums of two models can be subtracted: the change between any two models is
divided among the regions by reading a small table of each.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.runs.list_columns import compute as pc
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import DIVISIONS, REGION_COLUMNS, REGION_SUMS_SCHEMA, SIDES, VOCABULARY_SUMS_SCHEMA
from dpo_analysis.text.regions import token_regions, token_spans
from dpo_analysis.text.token_types import TokenTypes

Ints = NDArray[np.int64]
RESPONSE_COLUMNS = ("row", "side", "token_ids")
"""The columns of the responses that are read."""
RULES_LABEL = {"cells": "2"}
"""In the label of every table that is summed by region: raise it when a rule of regions, kinds or spans changes."""
COLUMNS_OF_SIDE = sum(map(len, DIVISIONS.values()))
"""Columns of ``REGION_COLUMNS`` that belong to the same side."""


class PairTokens(NamedTuple):
    """The scored tokens of some pairs, concatenated: by pair, and chosen before rejected within a pair.

    Attributes:
        rows: row of each pair, shape (pairs,), sorted.
        lengths: tokens of each response, shape (pairs, sides).
        token_ids: shape (tokens,).
        columns: for each of ``DIVISIONS`` the index in ``REGION_COLUMNS`` of every token, shape (tokens,).
    """

    rows: Ints
    lengths: Ints
    token_ids: Ints
    columns: dict[str, Ints]

    @property
    def pair(self) -> Ints:
        """The index in ``rows`` of every token's pair, shape (tokens,)."""
        return np.repeat(np.arange(len(self.rows)), self.lengths.sum(axis=1))

    @property
    def side(self) -> Ints:
        """The index in ``SIDES`` of every token's side, shape (tokens,)."""
        return np.repeat(np.tile(np.arange(len(SIDES)), len(self.rows)), self.lengths.ravel())


def pair_tokens(responses: pa.Table, token_types: TokenTypes) -> PairTokens:
    """Return the tokens of every pair that has both sides in ``responses``.

    Args:
        responses: ``RESPONSES_SCHEMA``, of which ``RESPONSE_COLUMNS`` are read.
        token_types: the types of all entries of the vocabulary.
    """
    table, rows = _pairs_with_both_sides(responses, "token_ids")
    lengths, ids = flatten_lists(table["token_ids"])
    by_side, token_ids = lengths.reshape(-1, len(SIDES)), ids.astype(np.int64)
    side = np.repeat(np.tile(np.arange(len(SIDES)), len(rows)), lengths)
    spans = np.empty(len(token_ids), dtype=np.int64)
    responses_of_side = [(by_side[:, s], token_ids[side == s]) for s in range(len(SIDES))]
    for s, codes in enumerate(token_spans(responses_of_side[0], responses_of_side[1])):
        spans[side == s] = codes
    ends = token_types.sentence_ends(lengths, token_ids)
    codes = {
        "place": token_regions(lengths, token_types.is_special(token_ids), ends),
        "kind": token_types.kinds_of(token_ids),
        "span": spans,
    }
    first = dict(zip(DIVISIONS, np.cumsum([0, *map(len, DIVISIONS.values())]), strict=False))
    columns = {name: side * COLUMNS_OF_SIDE + first[name] + codes[name] for name in DIVISIONS}
    return PairTokens(rows, by_side, token_ids, columns)


def count_by_region(tokens: PairTokens) -> dict[str, Ints]:
    """Return the number of tokens of every pair by name of ``REGION_COLUMNS``, each of shape (pairs,)."""
    return dict(zip(REGION_COLUMNS, _sum_by_column(tokens, None).T.astype(np.int64), strict=True))


def sum_by_region(scores: pa.Table, tokens: PairTokens) -> pa.Table:
    """Return the log-probs of every pair summed by region, nats, in ``REGION_SUMS_SCHEMA``.

    Null for a pair of which the scores lack the log-prob of some token.
    """
    logp, complete = token_logps(scores, tokens)
    sums = _sum_by_column(tokens, logp)
    columns = [pa.array(tokens.rows), *(pa.array(column, mask=~complete) for column in sums.T)]
    return pa.table(columns, schema=REGION_SUMS_SCHEMA)


def sum_by_vocabulary_entry(scores: pa.Table, tokens: PairTokens, pair_index: pa.Table, rows: Ints) -> pa.Table:
    """Return log-probs summed by split, side and token id, nats, in ``VOCABULARY_SUMS_SCHEMA``.

    Args:
        scores: ``SCORES_SCHEMA``, of which row, side and logp are read.
        tokens: the tokens of the same pairs.
        pair_index: ``PAIR_INDEX_SCHEMA`` of the same pairs or more.
        rows: only the pairs of these rows count, as far as the scores have the log-prob of every token.
    """
    logp, complete = token_logps(scores, tokens)
    counted = (complete & np.isin(tokens.rows, rows))[tokens.pair]
    splits = pc.unique(pair_index["split"]).sort()
    line = pc.index_in(pa.array(tokens.rows), pair_index["row"].combine_chunks())
    split = pc.index_in(pair_index["split"].take(line), splits).to_numpy()
    split_and_side = (split[tokens.pair] * len(SIDES) + tokens.side)[counted]
    size = int(tokens.token_ids.max(initial=0)) + 1
    keys, entry = np.unique(split_and_side * size + tokens.token_ids[counted], return_inverse=True)
    split_and_side, token_id = np.divmod(keys, size)
    columns = [
        splits.take(pa.array(split_and_side // len(SIDES))),
        pa.array(np.array(SIDES, dtype=object)[split_and_side % len(SIDES)], pa.string()),
        pa.array(token_id, pa.int32()),
        pa.array(np.bincount(entry, minlength=len(keys)), pa.int64()),
        pa.array(np.bincount(entry, logp[counted], len(keys)), pa.float64()),
    ]
    return pa.table(columns, schema=VOCABULARY_SUMS_SCHEMA)


def token_logps(scores: pa.Table, tokens: PairTokens) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the log-prob of every token, nats, shape (tokens,), and which pairs have all of them, shape (pairs,).

    The log-probs of a pair that lacks some are 0.
    """
    table, rows = _pairs_with_both_sides(scores, "logp")
    lengths, values = flatten_lists(table["logp"])
    by_side = lengths.reshape(-1, len(SIDES))
    index = np.searchsorted(rows, tokens.rows).clip(max=max(len(rows) - 1, 0))
    complete = (rows[index] == tokens.rows) if len(rows) else np.zeros(len(tokens.rows), dtype=bool)
    complete = complete & (by_side[index] == tokens.lengths).all(axis=1) if len(rows) else complete
    logp = np.zeros(len(tokens.token_ids))
    used = np.zeros(len(rows), dtype=bool)
    used[index[complete]] = True
    logp[complete[tokens.pair]] = values[np.repeat(used, by_side.sum(axis=1))]
    return logp, complete


def _sum_by_column(tokens: PairTokens, values: NDArray[np.float64] | None) -> NDArray:
    """Return ``values`` summed by pair and column, shape (pairs, ``REGION_COLUMNS``); for None the number of tokens."""
    n_columns = len(SIDES) * COLUMNS_OF_SIDE
    total = np.zeros(len(tokens.rows) * n_columns)
    first = tokens.pair * n_columns
    for columns in tokens.columns.values():
        total += np.bincount(first + columns, values, len(total))
    return total.reshape(-1, n_columns)


def _pairs_with_both_sides(table: pa.Table, column: str) -> tuple[pa.Table, Ints]:
    """Return ``column`` for the pairs that have both sides, sorted by row and side, and the rows of these pairs."""
    row, side = table["row"].to_numpy(), side_indices(table)
    order = np.lexsort((side, row))
    order = order[side[order] >= 0]
    rows, first, count = np.unique(row[order], return_index=True, return_counts=True)
    both = count == len(SIDES)
    lines = order[(first[both][:, None] + np.arange(len(SIDES))).ravel()] if len(rows) else order
    table = table.select([column])
    # Copying lists is slow, and the rows are nearly always complete and in order.
    unchanged = len(lines) == table.num_rows and (np.diff(lines) == 1).all()
    return table if unchanged else table.take(pa.array(lines)), rows[both]
