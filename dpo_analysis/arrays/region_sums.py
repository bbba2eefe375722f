"""Sums by cell (side, and a part of place, kind or span) and by vocabulary entry, as arrays: what splits are made from.

As in ``sums``, what was read stays in memory until the parts it comes from change, and nothing reads token lists where
the run's summaries are there.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import Files, files_of, inputs
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.summaries.store import CELLS, ENTRIES, read_facts, read_summary
from dpo_analysis.schema import PARTS, SIDES

Array = NDArray[np.float64]
ByParts = dict[str, Array]
"""For each of ``PARTS`` an array of shape (pairs, sides, parts), by row."""


class Entries(NamedTuple):
    """Sums by vocabulary entry of one side in some splits, each of shape (entries,): token_id, n, and logp in nats."""

    token_id: NDArray[np.int64]
    n: NDArray[np.int64]
    logp: Array


def counts(run: Run) -> ByParts:
    """How many tokens every pair has, by side and part; 0 where it is not scored.

    Raises:
        StorageError: a part is damaged.
    """
    return {by: np.nan_to_num(values) for by, values in _counts(files_of(run)).items()}


def cell_sums(run: Run, model: Model) -> ByParts:
    """Log-probs of every pair's tokens under ``model``, nats, by side and part; NaN where it has none of the pair.

    Raises:
        StorageError: a part is damaged.
    """
    return _cells(files_of(run, model), model)


def entry_sums(run: Run, model: Model, side: str, splits: list[str]) -> Entries:
    """Log-probs by vocabulary entry over the pairs that ``model`` scores whole, one line per entry, by id.

    Raises:
        StorageError: a part is damaged.
    """
    return _entries(files_of(run, model), model, side, tuple(splits))


def questions(run: Run) -> NDArray[np.object_]:
    """What was asked, in short, of every pair, shape (pairs,), by row; its id where the run has no prompt.

    Raises:
        StorageError: a part is damaged.
    """
    return _questions(files_of(run))


@lru_cache(maxsize=4)
def _counts(files: Files) -> ByParts:
    names = ["row", *(f"{side}_{by}_{part}" for by, parts in PARTS.items() for side in SIDES for part in parts)]
    return _by_parts(files.run, read_facts(files.run, names))


@lru_cache(maxsize=8)
def _cells(files: Files, model: Model) -> ByParts:
    return _by_parts(files.run, read_summary(files.run, CELLS, model))


@lru_cache(maxsize=64)
def _entries(files: Files, model: Model, side: str, splits: tuple[str, ...]) -> Entries:
    table = read_summary(files.run, ENTRIES, model)
    kept = pc.and_(pc.equal(table["side"], side), pc.is_in(table["split"], pa.array(splits, pa.string())))
    own_side = table.filter(kept)
    ids, n, logp = (own_side[name].to_numpy() for name in ("token_id", "n", "logp"))
    if len(splits) == 1:
        return Entries(ids.astype(np.int64), n, logp)
    token_id, place = np.unique(ids, return_inverse=True)
    own = np.bincount(place, n, len(token_id)).astype(np.int64), np.bincount(place, logp, len(token_id))
    return Entries(token_id.astype(np.int64), *own)


@lru_cache(maxsize=4)
def _questions(files: Files) -> NDArray[np.object_]:
    table = read_facts(files.run, ["row", "question"])
    found = inputs(files.run).pairs["pair_id"].to_numpy(dtype=object, copy=True)
    asked = table["question"].to_pandas().to_numpy(dtype=object)
    said = asked != ""
    found[_places(files.run, table)[said]] = asked[said]
    return found


def _by_parts(run: Run, table: pa.Table) -> ByParts:
    place, n_pairs = _places(run, table), len(inputs(run).pairs)
    found = {by: np.full((n_pairs, len(SIDES), len(parts)), np.nan) for by, parts in PARTS.items()}
    for by, parts in PARTS.items():
        for index, side in enumerate(SIDES):
            for number, part in enumerate(parts):
                found[by][place, index, number] = table[f"{side}_{by}_{part}"].to_numpy()
        found[by].setflags(write=False)
    return found


def _places(run: Run, table: pa.Table) -> NDArray[np.int64]:
    return np.searchsorted(inputs(run).pairs["row"].to_numpy(), table["row"].to_numpy())
