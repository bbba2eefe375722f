"""Token counts and log-probs of every pair summed by region, token kind or span, and by vocabulary entry, as arrays.

``schema.DIVISIONS`` names the three ways to divide a response (place, kind, span) and their parts. Results are cached
as in ``response_sums``, and token lists are read only where the run lacks its summaries.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import files_of, pair_index
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.file_stamps import FileStamps
from dpo_analysis.runs.list_columns import compute as pc
from dpo_analysis.runs.summaries.store import REGION_SUMS, VOCABULARY_SUMS, read_pair_facts, read_summary
from dpo_analysis.schema import DIVISIONS, REGION_COLUMNS, SIDES

Array = NDArray[np.float64]
RegionArrays = dict[str, Array]
"""For each of ``schema.DIVISIONS`` an array of shape (pairs, sides, parts), by row."""


class VocabularyLogps(NamedTuple):
    """Sums over all occurrences of each vocabulary entry, for one side in some splits.

    Attributes:
        token_id: shape (entries,), sorted.
        n: number of occurrences, shape (entries,).
        logp: sum of the log-probs, nats, shape (entries,).
    """

    token_id: NDArray[np.int64]
    n: NDArray[np.int64]
    logp: Array


def region_token_counts(run: Run) -> RegionArrays:
    """Return the number of tokens of every pair by side and part; 0 where the pair is not scored.

    Raises:
        StorageError: a part is damaged.
    """
    return {by: np.nan_to_num(values) for by, values in _region_token_counts(files_of(run)).items()}


def region_logps(run: Run, model: Model) -> RegionArrays:
    """Return the summed log-prob of every pair's tokens by side and part under ``model``, nats.

    NaN where the model has no token log-probs of the pair.

    Raises:
        StorageError: a part is damaged.
    """
    return _region_logps(files_of(run, model), model)


def vocabulary_logps(run: Run, model: Model, side: str, splits: list[str]) -> VocabularyLogps:
    """Return log-probs summed by vocabulary entry, nats, over the pairs of which ``model`` scores both responses.

    Raises:
        StorageError: a part is damaged.
    """
    return _vocabulary_logps(files_of(run, model), model, side, tuple(splits))


def short_prompts(run: Run) -> NDArray[np.object_]:
    """Return the last message of the prompt of every pair, shortened, shape (pairs,), by row.

    The pair_id stands in for a pair without a prompt.

    Raises:
        StorageError: a part is damaged.
    """
    return _short_prompts(files_of(run))


@lru_cache(maxsize=4)
def _region_token_counts(files: FileStamps) -> RegionArrays:
    return _region_arrays(files.run, read_pair_facts(files.run, ["row", *REGION_COLUMNS]))


@lru_cache(maxsize=8)
def _region_logps(files: FileStamps, model: Model) -> RegionArrays:
    return _region_arrays(files.run, read_summary(files.run, REGION_SUMS, model))


@lru_cache(maxsize=64)
def _vocabulary_logps(files: FileStamps, model: Model, side: str, splits: tuple[str, ...]) -> VocabularyLogps:
    table = read_summary(files.run, VOCABULARY_SUMS, model)
    wanted = pc.and_(pc.equal(table["side"], side), pc.is_in(table["split"], pa.array(splits, pa.string())))
    table = table.filter(wanted)
    ids, n, logp = (table[name].to_numpy() for name in ("token_id", "n", "logp"))
    if len(splits) == 1:
        return VocabularyLogps(ids.astype(np.int64), n, logp)
    token_id, entry = np.unique(ids, return_inverse=True)
    return VocabularyLogps(
        token_id.astype(np.int64),
        np.bincount(entry, n, len(token_id)).astype(np.int64),
        np.bincount(entry, logp, len(token_id)).astype(np.float64, copy=False),
    )


@lru_cache(maxsize=4)
def _short_prompts(files: FileStamps) -> NDArray[np.object_]:
    table, index = read_pair_facts(files.run, ["row", "question"]), pair_index(files.run)
    result = index.pairs["pair_id"].to_numpy(dtype=object, copy=True)
    prompts = table["question"].to_pandas().to_numpy(dtype=object)
    present = prompts != ""
    result[index.indices(table["row"].to_numpy())[present]] = prompts[present]
    return result


def _region_arrays(run: Run, table: pa.Table) -> RegionArrays:
    """Return the columns ``{side}_{by}_{part}`` of a summary as arrays by row; NaN for pairs that it lacks."""
    index = pair_index(run)
    pair = index.indices(table["row"].to_numpy())
    result = {by: np.full((len(index.pairs), len(SIDES), len(parts)), np.nan) for by, parts in DIVISIONS.items()}
    for by, parts in DIVISIONS.items():
        for s, side in enumerate(SIDES):
            for p, part in enumerate(parts):
                result[by][pair, s, p] = table[f"{side}_{by}_{part}"].to_numpy()
        result[by].setflags(write=False)
    return result
