"""The pairs and the vocabulary entries that changed the mean log-prob most between neighbouring checkpoints."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.region_sums import vocabulary_logps
from dpo_analysis.arrays.response_sums import counted_pairs, pair_index, response_sums
from dpo_analysis.arrays.selection import Names, choose_models, name_list, split_mask
from dpo_analysis.arrays.vocabulary import read_vocabulary
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import CHOSEN, SIDES

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
TOP = 3
"""Pairs or entries of a checkpoint that are listed unless another number is given."""
PAIR_COLUMNS = ["series", "before", "model", "step", "mean_change", "place", "pair_id", "change", "share"]
TOKEN_COLUMNS = [
    "series",
    "before",
    "model",
    "step",
    "mean_change",
    "place",
    "token_id",
    "text",
    "n",
    "change",
    "share",
]


def largest_pair_changes(
    run: Run, *, series: str, side: str = CHOSEN, split: Names = None, top: int = TOP
) -> pd.DataFrame:
    """Return the pairs that changed the mean log-prob most at each checkpoint, in the direction of the mean.

    Args:
        run: an open run.
        series: the series of the checkpoints.
        side: chosen or rejected.
        split: only pairs of these splits.
        top: number of pairs per checkpoint.

    Returns:
        Columns: series; before (the previous checkpoint; ``reference`` for the first checkpoint, if training began
        there); model; step; mean_change (of the mean over pairs that count under both, nats per response); place (rank
        by change, from 1); pair_id; change (of that pair, nats); share (of the sum of all changes).

    Raises:
        InputError: nothing in the run has such a name.
        StorageError: a part is damaged.
    """
    rows = []
    ids = pair_index(run).pairs["pair_id"].to_numpy(dtype=object)
    for before, policy in _neighbours(run, series):
        used = _counted_under_both(run, [before, policy], split)
        changes = (response_sums(run, policy).logps - response_sums(run, before).logps)[used, SIDES.index(side)]
        for rank, index in enumerate(_largest(changes, top), start=1):
            share = changes[index] / changes.sum()
            keys = _keys(before, policy, changes.mean())
            rows.append([*keys, rank, ids[used][index], changes[index], share])
    return pd.DataFrame(rows, columns=PAIR_COLUMNS).astype({"step": "Int64"})


def largest_token_changes(
    run: Run, *, series: str, side: str = CHOSEN, split: Names = None, top: int = TOP
) -> pd.DataFrame:
    """Return the vocabulary entries that changed the mean log-prob most at each checkpoint.

    Arguments and errors as in ``largest_pair_changes``. A run without stored tokens has no rows.

    Returns:
        Columns as in ``largest_pair_changes``, with token_id, text and n (number of occurrences) instead of pair_id;
        change is summed over all occurrences, nats.
    """
    rows = []
    for before, policy in _neighbours(run, series):
        used = _counted_under_both(run, [before, policy], split)
        entries = _entry_changes(run, (before, policy), side, used, split)
        largest = list(_largest(entries.changes, top))
        texts = read_vocabulary(run).texts(entries.ids[largest])
        for rank, (index, text) in enumerate(zip(largest, texts, strict=True), start=1):
            change, total = entries.changes[index], entries.changes.sum()
            keys = [*_keys(before, policy, total / used.sum()), rank, int(entries.ids[index]), text]
            rows.append([*keys, entries.counts[index], change, change / total])
    return pd.DataFrame(rows, columns=TOKEN_COLUMNS).astype({"step": "Int64"})


def _neighbours(run: Run, series: str) -> Iterator[tuple[Model, Model]]:
    """Return neighbouring checkpoints of a series; the reference comes first if training began there."""
    policies = [policy for policy in choose_models(run, series) if run.parts_done(policy)]
    first = [run.reference] if run.series[series].start == "reference" else []
    yield from pairwise([*first, *policies])


def _counted_under_both(run: Run, models: list[Model], split: Names) -> NDArray[np.bool_]:
    """Return which pairs of these splits count under all models, shape (pairs,)."""
    used = split_mask(run, pair_index(run).pairs["split"].to_numpy(dtype=object), split)
    for model in models:
        used = used if model.is_reference else used & counted_pairs(run, model)
    return used


class _EntryChanges(NamedTuple):
    """Vocabulary entries, the change of the log-prob of each, nats, and its number of occurrences; shape (entries,)."""

    ids: Ints
    changes: Array
    counts: Ints


def _entry_changes(
    run: Run, models: tuple[Model, Model], side: str, used: NDArray[np.bool_], split: Names
) -> _EntryChanges:
    """Return the changes from the summaries if those add up the same pairs, else from the tokens themselves."""
    index = pair_index(run)
    splits, mask = name_list(split) or run.splits, split_mask(run, index.pairs["split"].to_numpy(dtype=object), split)
    if all(np.array_equal(response_sums(run, model).complete & mask, used) for model in models):
        before, after = (vocabulary_logps(run, model, side, splits) for model in models)
        if np.array_equal(before.token_id, after.token_id) and np.array_equal(before.n, after.n):
            return _EntryChanges(after.token_id, after.logp - before.logp, after.n)
    return _token_changes(run, models, SIDES.index(side), index.rows[used])


def _token_changes(run: Run, models: tuple[Model, Model], side: int, rows: Ints) -> _EntryChanges:
    """Return the changes added up from the stored tokens of the pairs in ``rows``."""
    changes, counts = np.zeros(1), np.zeros(1, dtype=np.int64)
    for part in run.parts_done(models[1]) if len(rows) else ():
        sides = _aligned_sides(run, part, models, rows)
        if sides is None or not len(sides[side].token_ids):
            continue
        ids, (before, after) = sides[side].token_ids, sides[side].logps
        size = max(len(changes), int(ids.max()) + 1)
        changes, counts = np.pad(changes, (0, size - len(changes))), np.pad(counts, (0, size - len(counts)))
        changes += np.bincount(ids, after.astype(np.float64) - before, size)
        counts += np.bincount(ids, minlength=size)
    ids = np.flatnonzero(counts)
    return _EntryChanges(ids, changes[ids], counts[ids])


def _largest(changes: Array, top: int) -> Iterator[int]:
    """Return the indices of the largest changes in the direction of their sum; none where nothing changed."""
    total = changes.sum() if len(changes) else 0.0
    signed = changes if total < 0 else -changes
    candidates = np.arange(len(signed))
    if len(signed) > top:
        candidates = np.flatnonzero(signed <= np.partition(signed, top - 1)[top - 1])
    order = candidates[np.argsort(signed[candidates], kind="stable")][:top]
    if total:
        yield from (int(index) for index in order if changes[index] * total > 0)


def _keys(before: Model, policy: Model, mean: float) -> list:
    return [policy.series, before.name, policy.name, policy.step, float(mean)]


class _AlignedSide(NamedTuple):
    """The concatenated responses of a side: token ids, and the log-probs of every model, nats; all shape (tokens,)."""

    token_ids: Ints
    logps: list[NDArray]


def _aligned_sides(run: Run, part: int, models: Sequence[Model], rows: Ints) -> list[_AlignedSide] | None:
    """Return chosen and rejected of the pairs in ``rows`` that lie in ``part``; None where a model lacks tokens."""
    ids = run.responses(part, columns=["row", "side", "token_ids"])
    tables = [ids, *(run.scores(model, part, columns=["row", "side", "logp"]) for model in models)]
    sides = [_aligned_side(tables, side, rows) for side in range(len(SIDES))]
    aligned = [side for side in sides if side is not None]
    return aligned if len(aligned) == len(sides) else None


def _aligned_side(tables: list[pa.Table], side: int, rows: Ints) -> _AlignedSide | None:
    (row, lengths, token_ids), *scored = (_side_lists(table, side, rows) for table in tables)
    if not all(np.array_equal(row, scores[0]) and np.array_equal(lengths, scores[1]) for scores in scored):
        return None
    return _AlignedSide(token_ids.astype(np.int64), [logp for _, _, logp in scored])


def _side_lists(table: pa.Table, side: int, rows: Ints) -> tuple[Ints, Ints, NDArray]:
    """Return rows, lengths and values of one side of a table whose last column is a list, sorted by row."""
    wanted = (side_indices(table) == side) & np.isin(table["row"].to_numpy(), rows)
    table = table.filter(pa.array(wanted))
    order = np.argsort(table["row"].to_numpy(), kind="stable")
    table = table if (np.diff(order) == 1).all() else table.take(pa.array(order))
    return table["row"].to_numpy(), *flatten_lists(table[table.column_names[-1]])
