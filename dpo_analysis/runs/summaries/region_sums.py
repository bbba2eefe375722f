"""The tokens of every pair by cell (side, and a part of place, kind or span): how many, and what a model says of them.

A cell sum is a sum of log-probs, so the sums of two models subtract, and any change of any two models is split by
reading one small table of each.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.schema import CELLS, CELLS_SCHEMA, ENTRIES_SCHEMA, PARTS, SIDES
from dpo_analysis.text.regions import places, spans
from dpo_analysis.text.token_types import Entries

Ints = NDArray[np.int64]
RESPONSE_COLUMNS = ("row", "side", "token_ids")
RULES = {"cells": "2"}
"""Stands in the label of what is summed by cell: raise it when a rule of places, kinds or spans changes."""
WIDTH = sum(map(len, PARTS.values()))
"""Cells of one side."""


class Tokens(NamedTuple):
    """The scored responses of some pairs, chosen before rejected, one pair behind the other.

    Attributes:
        rows: shape (pairs,), sorted.
        lengths: shape (pairs, sides).
        token_ids: shape (tokens,).
        cells: for each of ``PARTS`` the cell of every token, shape (tokens,), from 0 to 2 x ``WIDTH`` - 1.
    """

    rows: Ints
    lengths: Ints
    token_ids: Ints
    cells: dict[str, Ints]

    @property
    def pair(self) -> Ints:
        """The place of every token's pair in ``rows``, shape (tokens,)."""
        return np.repeat(np.arange(len(self.rows)), self.lengths.sum(axis=1))

    @property
    def side(self) -> Ints:
        """The place of every token's side in ``SIDES``, shape (tokens,)."""
        return np.repeat(np.tile(np.arange(len(SIDES)), len(self.rows)), self.lengths.ravel())


def tokens_of(responses: pa.Table, entries: Entries) -> Tokens:
    """The tokens of both sides of every pair in ``responses`` (of which ``RESPONSE_COLUMNS`` are read)."""
    table, rows = _both_sides(responses, "token_ids")
    lengths, ids = lists(table["token_ids"])
    both, token_ids = lengths.reshape(-1, len(SIDES)), ids.astype(np.int64)
    side = np.repeat(np.tile(np.arange(len(SIDES)), len(rows)), lengths)
    alike = np.empty(len(token_ids), dtype=np.int64)
    own = [(both[:, place], token_ids[side == place]) for place in range(len(SIDES))]
    for place, codes in enumerate(spans(own[0], own[1])):
        alike[side == place] = codes
    ends = entries.sentence_ends(lengths, token_ids)
    codes = {
        "place": places(lengths, entries.is_special(token_ids), ends),
        "kind": entries.kinds_of(token_ids),
        "span": alike,
    }
    starts = dict(zip(PARTS, np.cumsum([0, *map(len, PARTS.values())]), strict=False))
    return Tokens(rows, both, token_ids, {by: side * WIDTH + starts[by] + codes[by] for by in PARTS})


def counts_of(tokens: Tokens) -> dict[str, Ints]:
    """How many tokens every pair has in every cell, by name of ``CELLS``, each of shape (pairs,)."""
    return dict(zip(CELLS, _summed(tokens, None).T.astype(np.int64), strict=True))


def cells_of(scores: pa.Table, tokens: Tokens) -> pa.Table:
    """The log-probs of every pair by cell in ``CELLS_SCHEMA``; null where the model has no log-prob for every token."""
    logp, known = logps_of(scores, tokens)
    sums = _summed(tokens, logp)
    columns = [pa.array(tokens.rows), *(pa.array(column, mask=~known) for column in sums.T)]
    return pa.table(columns, schema=CELLS_SCHEMA)


def entries_of(scores: pa.Table, tokens: Tokens, inputs: pa.Table, counted: Ints) -> pa.Table:
    """Log-probs by split, side and vocabulary entry in ``ENTRIES_SCHEMA``, over the pairs of these rows."""
    logp, known = logps_of(scores, tokens)
    wanted = (known & np.isin(tokens.rows, counted))[tokens.pair]
    splits = pc.unique(inputs["split"]).sort()
    own = pc.index_in(inputs["split"].take(pc.index_in(pa.array(tokens.rows), inputs["row"].combine_chunks())), splits)
    place = (own.to_numpy()[tokens.pair] * len(SIDES) + tokens.side)[wanted]
    width = int(tokens.token_ids.max(initial=0)) + 1
    key, found = np.unique(place * width + tokens.token_ids[wanted], return_inverse=True)
    cell, token_id = np.divmod(key, width)
    columns = [
        splits.take(pa.array(cell // len(SIDES))),
        pa.array(np.array(SIDES, dtype=object)[cell % len(SIDES)], pa.string()),
        pa.array(token_id, pa.int32()),
        pa.array(np.bincount(found, minlength=len(key)), pa.int64()),
        pa.array(np.bincount(found, logp[wanted], len(key)), pa.float64()),
    ]
    return pa.table(columns, schema=ENTRIES_SCHEMA)


def logps_of(scores: pa.Table, tokens: Tokens) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A model's log-prob of every token, nats, shape (tokens,), and which pairs have one everywhere, shape (pairs,)."""
    table, rows = _both_sides(scores, "logp")
    lengths, values = lists(table["logp"])
    own = lengths.reshape(-1, len(SIDES))
    place = np.searchsorted(rows, tokens.rows).clip(max=max(len(rows) - 1, 0))
    known = (rows[place] == tokens.rows) if len(rows) else np.zeros(len(tokens.rows), dtype=bool)
    known = known & (own[place] == tokens.lengths).all(axis=1) if len(rows) else known
    logp = np.zeros(len(tokens.token_ids))
    mine = np.zeros(len(rows), dtype=bool)
    mine[place[known]] = True
    logp[known[tokens.pair]] = values[np.repeat(mine, own.sum(axis=1))]
    return logp, known


def _summed(tokens: Tokens, values: NDArray[np.float64] | None) -> NDArray:
    """Values (or ones) summed by pair and cell, shape (pairs, cells)."""
    width, total = len(SIDES) * WIDTH, np.zeros(len(tokens.rows) * len(SIDES) * WIDTH)
    first = tokens.pair * width
    for cells in tokens.cells.values():
        total += np.bincount(first + cells, values, len(total))
    return total.reshape(-1, width)


def _both_sides(table: pa.Table, values: str) -> tuple[pa.Table, Ints]:
    """The lines of pairs that have both sides, in the order of rows and sides, and those rows."""
    row, side = table["row"].to_numpy(), side_places(table)
    order = np.lexsort((side, row))
    order = order[side[order] >= 0]
    rows, first, count = np.unique(row[order], return_index=True, return_counts=True)
    whole = count == len(SIDES)
    kept = order[(first[whole][:, None] + np.arange(len(SIDES))).ravel()] if len(rows) else order
    table = table.select([values])
    same = len(kept) == table.num_rows and (np.diff(kept) == 1).all()
    return table if same else table.take(pa.array(kept)), rows[whole]
