"""Log-probs and entropies summed over each response, independent of beta: the basis of all tables of pairs.

The sums are float64 and come from the run's summaries. They are cached with the stamps of their folders, so
that another beta reads no file again, and a part that is added or replaced is noticed.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.numerics.segments import segment_positions
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.file_stamps import FileStamps, file_stamps
from dpo_analysis.runs.list_columns import flatten_lists, segment_sums, side_indices
from dpo_analysis.runs.parts import scores_folder
from dpo_analysis.runs.summaries.store import PAIR_SUMS, read_pair_index, read_summary
from dpo_analysis.schema import FLAGGED, PENDING, SCORED, SIDES

Array = NDArray[np.float64]
INPUT_COLUMNS = ["row", "pair_id", "group_id", "split", "status"]
CACHED_MODELS = 64
"""Models whose sums stay in memory."""


class PairIndex(NamedTuple):
    """The pairs of a run and the lengths of their responses, in the order of ``row``.

    Attributes:
        pairs: row, pair_id, group_id, split, status; one line per pair, whatever its status.
        n_tokens: scored tokens, float64, shape (pairs, sides), NaN where a pair is not scored.
    """

    pairs: pd.DataFrame
    n_tokens: Array

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of every pair, shape (pairs,), sorted; rows may have gaps."""
        return self.pairs["row"].to_numpy()

    def indices(self, rows: NDArray) -> NDArray[np.int64]:
        """Return the index of each of these rows among the pairs, in the shape of ``rows``; every row must exist."""
        return np.searchsorted(self.rows, rows)


class ResponseSums(NamedTuple):
    """Sums of a model's scores over the responses of every pair, by row; NaN where the model has no score.

    Attributes:
        status: shape (pairs,), empty where the model's part is missing.
        logps: log-prob of each response, nats, shape (pairs, sides).
        entropy: entropy of the next token, summed over the positions of each response, nats, shape (pairs, sides).
    """

    status: NDArray[np.object_]
    logps: Array
    entropy: Array

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Which pairs have a finite log-prob for both responses, shape (pairs,)."""
        return np.all(np.isfinite(self.logps), axis=1)


def pair_index(run: Run) -> PairIndex:
    """Return the pairs of ``run`` and the lengths of their responses (tokens).

    Raises:
        StorageError: a part is damaged.
    """
    return _pair_index(files_of(run))


def response_sums(run: Run, model: Model) -> ResponseSums:
    """Return log-prob and entropy of every response under ``model``, nats; NaN where the model is not scored yet.

    Raises:
        StorageError: a part is damaged.
    """
    return _response_sums(files_of(run, model), model)


def shared_logps(run: Run, model: Model) -> Array:
    """Return the log-prob of the first min(n_chosen, n_rejected) tokens of each response, nats, shape (pairs, sides).

    NaN where the model has no score, and where only sums are stored. Only ``ld_alpha`` needs them.

    Raises:
        StorageError: a part is damaged.
    """
    rows = pair_index(run).rows
    shared = np.full((len(rows), len(SIDES)), np.nan)
    for index in run.present_parts:
        table = run.scores(model, index, columns=["row", "side", "logp"])
        table, pair, side = _known_responses(table, rows)
        shared[pair, side] = _shared_sums(table["logp"], pair, side, len(rows))
    return shared


def pair_statuses(run: Run, policy: Model) -> NDArray[np.object_]:
    """Return the status of every pair under ``policy``, shape (pairs,).

    For a pair that is never scored, its status in the data; else the fault of the reference or the policy, if either
    has a fault; ``pending`` where either is not scored yet; else its status in the data.

    Raises:
        StorageError: a part is damaged.
    """
    return _pair_statuses(files_of(run, policy), files_of(run, run.reference), policy)


def counted_pairs(run: Run, policy: Model) -> NDArray[np.bool_]:
    """Return which pairs count: both responses have a finite log-prob under policy and reference; shape (pairs,).

    Raises:
        StorageError: a part is damaged.
    """
    return _counted_pairs(files_of(run, policy), files_of(run, run.reference), policy)


def files_of(run: Run, model: Model | None = None) -> FileStamps:
    """Return the stamps of the parts of pairs and responses, and of the scores of ``model`` where one is given."""
    if model is None:
        return file_stamps(run, "pairs", "responses")
    return file_stamps(run, "pairs", "responses", scores_folder(model), label=f"{model.key} {model.weights}")


@lru_cache(maxsize=4)
def _pair_index(files: FileStamps) -> PairIndex:
    table = read_pair_index(files.run)
    lengths = [table[f"{side}_n_tokens"].to_numpy().astype(np.float64) for side in SIDES]
    return PairIndex(table.select(INPUT_COLUMNS).to_pandas(), np.stack(lengths, axis=1))


@lru_cache(maxsize=CACHED_MODELS)
def _response_sums(files: FileStamps, model: Model) -> ResponseSums:
    rows = pair_index(files.run).rows
    table = read_summary(files.run, PAIR_SUMS, model)
    pair, known = _find_rows(table["row"].to_numpy(), rows)
    status = np.full(len(rows), "", dtype=object)
    status[pair[known]] = table["status"].to_pandas().to_numpy(dtype=object)[known]
    sums = []
    for quantity in ("logps", "entropy"):
        values = np.full((len(rows), len(SIDES)), np.nan)
        for index, side in enumerate(SIDES):
            values[pair[known], index] = table[f"{side}_{quantity}"].to_numpy()[known]
        values.setflags(write=False)
        sums.append(values)
    return ResponseSums(status, sums[0], sums[1])


@lru_cache(maxsize=CACHED_MODELS)
def _pair_statuses(files: FileStamps, _: FileStamps, policy: Model) -> NDArray[np.object_]:
    run = files.run
    in_data = pair_index(run).pairs["status"].to_numpy(dtype=object)
    result, models = in_data.copy(), (response_sums(run, policy), response_sums(run, run.reference))
    result[(models[0].status == "") | (models[1].status == "")] = PENDING
    for model in models:
        flagged = np.isin(model.status, FLAGGED)
        result[flagged] = model.status[flagged]
    result = np.where(np.isin(in_data, SCORED), result, in_data)
    result.setflags(write=False)
    return result


@lru_cache(maxsize=CACHED_MODELS)
def _counted_pairs(files: FileStamps, reference: FileStamps, policy: Model) -> NDArray[np.bool_]:
    run = files.run
    scored = np.isin(_pair_statuses(files, reference, policy), SCORED)
    logps = response_sums(run, policy).logps + response_sums(run, run.reference).logps
    result = scored & np.isfinite(logps).all(axis=1)
    result.setflags(write=False)
    return result


def _find_rows(wanted: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the index in ``rows`` of each wanted row, and whether it is there; both of the shape of ``wanted``."""
    index = np.searchsorted(rows, wanted)
    known = index < len(rows)
    known[known] = rows[index[known]] == wanted[known]
    return index, known


def _known_responses(table: pa.Table, rows: NDArray[np.int64]) -> tuple[pa.Table, NDArray[np.int64], NDArray[np.int64]]:
    """Return the responses of ``table`` whose pair and side are known, with the index of the pair and of the side."""
    pair, known = _find_rows(table["row"].to_numpy(), rows)
    side = side_indices(table)
    known &= side >= 0
    # Copying lists is slow, and there is nearly always nothing to leave out.
    return table if known.all() else table.filter(pa.array(known)), pair[known], side[known]


def _shared_sums(column: pa.ChunkedArray, pair: NDArray, side: NDArray, n_pairs: int) -> Array:
    """Return the sum over the tokens that lie within the shorter response of the pair, shape (responses,)."""
    lengths, values = flatten_lists(column)
    both = np.zeros((n_pairs, len(SIDES)), dtype=np.int64)
    both[pair, side] = lengths
    shorter = both.min(axis=1)[pair]
    shared = segment_positions(lengths) < np.repeat(shorter, lengths)
    return segment_sums(values[shared], shorter)
