"""What moved the mean between neighbouring checkpoints: the pairs, and the vocabulary entries, that did most of it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.region_sums import entry_sums
from dpo_analysis.arrays.response_sums import counted, inputs, sums
from dpo_analysis.arrays.selection import Names, choose_models, choose_pairs, names
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.schema import CHOSEN, SIDES
from dpo_analysis.text.token_text import token_text

Ints = NDArray[np.int64]
TOP = 3
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


def pair_movers(run: Run, *, series: str, side: str = CHOSEN, split: Names = None, top: int = TOP) -> pd.DataFrame:
    """For each checkpoint the pairs that moved the mean log-prob most since the one before, in the mean's direction.

    Returns:
        Columns: series; before (the checkpoint before; ``reference`` for the first, where training began there); model;
        step; mean_change (of the mean over pairs that count under both, nats per response); place (1, 2, ...);
        pair_id; change (of that pair, nats); share (of the sum of all changes).

    Raises:
        InputError: nothing in the run is called so.
        StorageError: a part is damaged.
    """
    rows = []
    ids = inputs(run).pairs["pair_id"].to_numpy(dtype=object)
    for before, policy in _steps(run, series):
        used = _counted(run, [before, policy], split)
        changes = (sums(run, policy).logps - sums(run, before).logps)[used, SIDES.index(side)]
        for place, index in _foremost(changes, top):
            share = changes[index] / changes.sum()
            rows.append([*_named(before, policy, changes.mean()), place, ids[used][index], changes[index], share])
    return pd.DataFrame(rows, columns=PAIR_COLUMNS).astype({"step": "Int64"})


def token_movers(run: Run, *, series: str, side: str = CHOSEN, split: Names = None, top: int = TOP) -> pd.DataFrame:
    """As ``pair_movers``, by vocabulary entry: the change summed over all its places, nats; n is how many those are.

    Runs without stored tokens have no rows.
    """
    rows, texts = [], _texts(run)
    for before, policy in _steps(run, series):
        used = _counted(run, [before, policy], split)
        ids, changes, counts = _by_entry(run, (before, policy), side, used, split)
        for place, where in _foremost(changes, top):
            index = int(ids[where])
            content = texts.get(index)
            text = f"[{index}]" if content is None else token_text(content)
            named = [*_named(before, policy, changes.sum() / used.sum()), place, index, text]
            rows.append([*named, counts[where], changes[where], changes[where] / changes.sum()])
    return pd.DataFrame(rows, columns=TOKEN_COLUMNS).astype({"step": "Int64"})


def _texts(run: Run) -> dict[int, bytes]:
    vocab = run.vocab()
    return {} if vocab is None else dict(zip(vocab["token_id"].to_pylist(), vocab["bytes"].to_pylist(), strict=True))


def _steps(run: Run, series: str) -> Iterator[tuple[Model, Model]]:
    """Neighbouring checkpoints of a series; the reference stands before the first where training began there."""
    policies = [policy for policy in choose_models(run, series) if run.parts_done(policy)]
    first = [run.reference] if run.series[series].start == "reference" else []
    chain = [*first, *policies]
    yield from pairwise(chain)


def _counted(run: Run, models: list[Model], split: Names) -> NDArray[np.bool_]:
    used = choose_pairs(run, inputs(run).pairs["split"].to_numpy(dtype=object), split)
    for policy in models:
        used = used if policy.is_reference else used & counted(run, policy)
    return used


def _by_entry(
    run: Run, models: tuple[Model, Model], side: str, used: NDArray[np.bool_], split: Names
) -> tuple[NDArray, NDArray, NDArray]:
    """Token ids, and the change of log-prob and the number of places of each: three of shape (entries,).

    From the summaries where those add up the same pairs, else from the tokens themselves.
    """
    pairs = inputs(run).pairs
    splits, here = names(split) or run.splits, choose_pairs(run, pairs["split"].to_numpy(dtype=object), split)
    if all(np.array_equal(np.isfinite(sums(run, model).logps).all(axis=1) & here, used) for model in models):
        before, after = (entry_sums(run, model, side, splits) for model in models)
        if np.array_equal(before.token_id, after.token_id) and np.array_equal(before.n, after.n):
            return after.token_id, after.logp - before.logp, after.n
    changes, counts = _by_token(run, models, SIDES.index(side), pairs["row"].to_numpy()[used])
    ids = np.flatnonzero(counts)
    return ids, changes[ids], counts[ids]


def _by_token(run: Run, models: tuple[Model, Model], side: int, rows: NDArray) -> tuple[NDArray, NDArray]:
    """Change of log-prob and number of places by token id, each of shape (ids,)."""
    changes, counts = np.zeros(1), np.zeros(1, dtype=np.int64)
    for part in run.parts_done(models[1]) if len(rows) else ():
        found = aligned_sides(run, part, models, rows)
        if found is None or not len(found[side].token_ids):
            continue
        ids, (before, after) = found[side].token_ids, found[side].logps
        size = max(len(changes), int(ids.max()) + 1)
        changes, counts = (np.pad(array, (0, size - len(array))) for array in (changes, counts))
        changes += np.bincount(ids, after.astype(np.float64) - before, size)
        counts += np.bincount(ids, minlength=size)
    return changes, counts


def _foremost(changes: NDArray[np.float64], top: int) -> Iterator[tuple[int, int]]:
    """Place and index of the changes that go farthest in the direction of their sum; none where nothing moved."""
    total = changes.sum() if len(changes) else 0.0
    signed = changes if total < 0 else -changes
    near = (
        np.flatnonzero(signed <= np.partition(signed, top - 1)[top - 1])
        if len(signed) > top
        else np.arange(len(signed))
    )
    order = near[np.argsort(signed[near], kind="stable")][:top]
    if total:
        yield from ((place, int(index)) for place, index in enumerate(order, start=1) if changes[index] * total > 0)


def _named(before: Model, policy: Model, mean: float) -> list:
    return [policy.series, before.name, policy.name, policy.step, float(mean)]


class Side(NamedTuple):
    """One side of some pairs of a part, one response behind the other.

    Attributes:
        pair: the place of each response's pair among the rows asked for, shape (responses,).
        lengths: tokens of each response, shape (responses,).
        token_ids: shape (tokens,).
        logps: for every model its log-probs, nats, each of shape (tokens,).
    """

    pair: Ints
    lengths: Ints
    token_ids: Ints
    logps: list[NDArray]


def aligned_sides(run: Run, part: int, models: Sequence[Model], rows: Ints) -> list[Side] | None:
    """Chosen and rejected of the pairs in ``rows`` (sorted) that lie in ``part``; None where a model lacks tokens.

    Raises:
        StorageError: the part is damaged.
    """
    ids = run.responses(part, columns=["row", "side", "token_ids"])
    tables = [ids, *(run.scores(model, part, columns=["row", "side", "logp"]) for model in models)]
    found = [_side(tables, side, rows) for side in range(len(SIDES))]
    return None if any(one is None for one in found) else [one for one in found if one is not None]


def _side(tables: list[pa.Table], side: int, rows: Ints) -> Side | None:
    (row, lengths, token_ids), *scored = (_flat(table, side, rows) for table in tables)
    if not all(np.array_equal(row, other[0]) and np.array_equal(lengths, other[1]) for other in scored):
        return None
    return Side(np.searchsorted(rows, row), lengths, token_ids.astype(np.int64), [other[2] for other in scored])


def _flat(table: pa.Table, side: int, rows: Ints) -> tuple[Ints, Ints, NDArray]:
    """Rows, lengths and values of one side of a table whose last column is the list, by row."""
    kept = (side_places(table) == side) & np.isin(table["row"].to_numpy(), rows)
    own = table.filter(pa.array(kept))
    order = np.argsort(own["row"].to_numpy(), kind="stable")
    own = own if (np.diff(order) == 1).all() else own.take(pa.array(order))
    return own["row"].to_numpy(), *lists(own[own.column_names[-1]])
