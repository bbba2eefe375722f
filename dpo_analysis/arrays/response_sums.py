"""The stored token lists summed to one number per response: beta-free, and what all tables of pairs are made from.

Sums are float64 and come from the run's summaries. They are kept in memory by the parts they come from, so that
another beta reads no file again; a part that is added or replaced is noticed by its folder's time.
"""

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import lists, segment_sums, side_places
from dpo_analysis.runs.parts import scores_folder
from dpo_analysis.runs.summaries.store import SUMS, read_inputs, read_summary
from dpo_analysis.schema import FLAGGED, PENDING, SCORED, SIDES

Array = NDArray[np.float64]
INPUT_COLUMNS = ["row", "pair_id", "group_id", "split", "status"]
KEPT = 64
"""How many models' sums stay in memory."""


class Inputs(NamedTuple):
    """The pairs of a run and their lengths, by row.

    Attributes:
        pairs: row, pair_id, group_id, split, status; one line per pair, whatever its status.
        n_tokens: scored tokens, shape (pairs, sides), NaN where a pair is not scored.
    """

    pairs: pd.DataFrame
    n_tokens: Array


class Sums(NamedTuple):
    """What one model says about every pair, by row; NaN where it says nothing.

    Attributes:
        status: shape (pairs,), empty where the model's part is missing.
        logps: nats, shape (pairs, sides).
        entropy: nats, summed over the response's positions, shape (pairs, sides).
    """

    status: NDArray[np.object_]
    logps: Array
    entropy: Array


@dataclass(frozen=True, slots=True)
class Files:
    """What identifies the files that a result was read from; the run is only how to read them."""

    path: str
    key: str
    stamps: tuple[tuple[int, int], ...]
    run: Run = field(compare=False)


def inputs(run: Run) -> Inputs:
    """The pairs of ``run`` and the lengths of their responses.

    Raises:
        StorageError: a part is damaged.
    """
    return _inputs(files_of(run))


def sums(run: Run, model: Model) -> Sums:
    """What ``model`` says about the pairs of ``run``, as far as it is scored.

    Raises:
        StorageError: a part is damaged.
    """
    return _sums(files_of(run, model), model)


def shared_logps(run: Run, model: Model) -> Array:
    """Logps of the first min(n_chosen, n_rejected) tokens of every response, nats, shape (pairs, sides).

    NaN where the model says nothing, and where only sums are stored. Only ``ld_alpha`` needs them.

    Raises:
        StorageError: a part is damaged.
    """
    rows = inputs(run).pairs["row"].to_numpy()
    shared = np.full((len(rows), len(SIDES)), np.nan)
    for index in range(run.n_parts):
        table = run.scores(model, index, columns=["row", "side", "logp"])
        table, place, side = _known(table, rows)
        shared[place, side] = _shared(table["logp"], place, side, len(rows))
    return shared


def statuses(run: Run, policy: Model) -> NDArray[np.object_]:
    """The status that every pair has under ``policy``, shape (pairs,).

    The pair's own where it is not scored; else what went wrong under the reference or the policy; ``pending`` where
    one of the two is not scored yet; else the pair's own again.

    Raises:
        StorageError: a part is damaged.
    """
    return _statuses(files_of(run, policy), files_of(run, run.reference), policy)


def counted(run: Run, policy: Model) -> NDArray[np.bool_]:
    """Which pairs count under ``policy``: both responses finite there and under the reference, shape (pairs,).

    Raises:
        StorageError: a part is damaged.
    """
    return _counted(files_of(run, policy), files_of(run, run.reference), policy)


def files_of(run: Run, model: Model | None = None) -> Files:
    """The parts of pairs and responses as they are now, and those of ``model``'s scores where one is given."""
    folders = ["pairs", "responses"] if model is None else ["pairs", "responses", scores_folder(model)]
    stamps = tuple(_stamp(f"{run.path}/{folder}") for folder in folders)
    return Files(os.path.realpath(run.path), "" if model is None else f"{model.key} {model.weights}", stamps, run)


def _stamp(folder: str) -> tuple[int, int]:
    """When a file was last added to a folder or replaced in it (all come by renaming), and how many there are."""
    try:
        return os.stat(folder).st_mtime_ns, len(os.listdir(folder))
    except FileNotFoundError:
        return 0, 0


@lru_cache(maxsize=4)
def _inputs(files: Files) -> Inputs:
    table = read_inputs(files.run)
    lengths = [table[f"{side}_n_tokens"].to_numpy().astype(np.float64) for side in SIDES]
    return Inputs(table.select(INPUT_COLUMNS).to_pandas(), np.stack(lengths, axis=1))


@lru_cache(maxsize=KEPT)
def _sums(files: Files, model: Model) -> Sums:
    rows = inputs(files.run).pairs["row"].to_numpy()
    table = read_summary(files.run, SUMS, model)
    place = np.searchsorted(rows, table["row"].to_numpy())
    known = place < len(rows)
    known[known] = rows[place[known]] == table["row"].to_numpy()[known]
    status = np.full(len(rows), "", dtype=object)
    status[place[known]] = table["status"].to_pandas().to_numpy(dtype=object)[known]
    values = []
    for quantity in ("logps", "entropy"):
        own = np.full((len(rows), len(SIDES)), np.nan)
        for index, side in enumerate(SIDES):
            own[place[known], index] = table[f"{side}_{quantity}"].to_numpy()[known]
        own.setflags(write=False)
        values.append(own)
    return Sums(status, values[0], values[1])


@lru_cache(maxsize=KEPT)
def _statuses(files: Files, _: Files, policy: Model) -> NDArray[np.object_]:
    run = files.run
    own = inputs(run).pairs["status"].to_numpy(dtype=object)
    result, models = own.copy(), (sums(run, policy), sums(run, run.reference))
    result[(models[0].status == "") | (models[1].status == "")] = PENDING
    for model in models:
        flagged = np.isin(model.status, FLAGGED)
        result[flagged] = model.status[flagged]
    result = np.where(np.isin(own, SCORED), result, own)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=KEPT)
def _counted(files: Files, reference: Files, policy: Model) -> NDArray[np.bool_]:
    run = files.run
    scored = np.isin(_statuses(files, reference, policy), SCORED)
    found = scored & np.isfinite(sums(run, policy).logps + sums(run, run.reference).logps).all(axis=1)
    found.setflags(write=False)
    return found


def _known(table: pa.Table, rows: NDArray[np.int64]) -> tuple[pa.Table, NDArray[np.int64], NDArray[np.int64]]:
    """The responses of ``table`` whose pair and side are known, and the places of both."""
    own = table["row"].to_numpy()
    place = np.searchsorted(rows, own)
    side = side_places(table)
    known = (place < len(rows)) & (side >= 0)
    known[known] = rows[place[known]] == own[known]
    # Copying lists is slow, and there is nearly always nothing to leave out.
    return table if known.all() else table.filter(pa.array(known)), place[known], side[known]


def _shared(column: pa.ChunkedArray, place: NDArray, side: NDArray, n_pairs: int) -> Array:
    lengths, values = lists(column)
    both = np.zeros((n_pairs, len(SIDES)), dtype=np.int64)
    both[place, side] = lengths
    kept = both.min(axis=1)[place]
    inside = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths) < np.repeat(kept, lengths)
    return segment_sums(values[inside], kept)
