"""How many other pairs choose and how many reject each bigram: a token directly behind its previous token.

The context of a token is its previous token alone. Counts are discordant: a pair that has the bigram in both of its
responses is no evidence for either side and counts for neither, since raw counts would blame the text that both
responses share. A pair never counts for itself.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.runs import Run
from dpo_analysis.runs.evidence.kinds import sample_mask
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import SIDES

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
RESPONSE_START = -1
"""Stands for the previous token of a response's first token, whose real one belongs to the prompt of its own pair."""
TRAIN_SPLIT = "train"
"""The split whose pairs count as the training pairs, where a run has one of this name."""
MAX_COUNTED_PAIRS = 20_000
"""Pairs counted at most; of more pairs a sample is drawn by the hash of pair_id."""


class OtherPairs(NamedTuple):
    """What the other pairs do with each bigram of a query; every array has the shape of the query.

    Attributes:
        rejects: r, the number of other pairs whose rejected response alone has the bigram.
        chooses: c, the number of other pairs whose chosen response alone has it.
        rejected_by_pair: whether the rejected response alone of the pair itself has it.
        seen: whether any response of any counted pair has it, the pair itself included.
    """

    rejects: Ints
    chooses: Ints
    rejected_by_pair: Mask
    seen: Mask


class _Index(NamedTuple):
    """Sorted keys of bigrams: (previous token + 1) * base + token, with row * base ** 2 added where the pair matters.

    Attributes:
        base: more than every token id + 1.
        chosen_of_pair: keys with the row, of bigrams that the pair's chosen response alone has.
        rejected_of_pair: the same of rejected responses.
        chooses: keys without the row, and in how many pairs the chosen response alone has them.
        rejects: the same of rejected responses.
        seen: keys of the bigrams of all responses.
    """

    base: int
    chosen_of_pair: Ints
    rejected_of_pair: Ints
    chooses: tuple[Ints, Ints]
    rejects: tuple[Ints, Ints]
    seen: Ints


class BigramCounts:
    """The bigram counts of one run over the pairs of one split, made at the first query.

    Attributes:
        split: split whose pairs are counted.
    """

    def __init__(self, run: Run, split: str) -> None:
        """Count the scored pairs of ``split``; the first query raises StorageError where a part is damaged."""
        self.split, self._run = split, run

    @cached_property
    def n_pairs(self) -> int:
        """Number of counted pairs."""
        return len(self._rows)

    @cached_property
    def _rows(self) -> Ints:
        return sampled_pairs(self._run, self.split)["row"].to_numpy()

    @cached_property
    def _index(self) -> _Index:
        parts = list(_parts(self._run, self._rows))
        base = 2 + max((int(side.token_ids.max(initial=0)) for part in parts for side in part), default=0)
        chosen, rejected = (_distinct([_pair_keys(base, part[side]) for part in parts]) for side in range(len(SIDES)))
        chosen_alone = np.setdiff1d(chosen, rejected, assume_unique=True)
        rejected_alone = np.setdiff1d(rejected, chosen, assume_unique=True)
        chooses, rejects = (np.unique(keys % base**2, return_counts=True) for keys in (chosen_alone, rejected_alone))
        seen = np.unique(np.concatenate([chosen, rejected]) % base**2)
        return _Index(base, chosen_alone, rejected_alone, chooses, rejects, seen)

    def look_up(self, rows: Ints, previous: Ints, token_ids: Ints) -> OtherPairs:
        """Return what the other pairs do with each bigram.

        Args:
            rows: row of the pair that each bigram belongs to, shape (bigrams,).
            previous: id of each previous token, same shape; ``RESPONSE_START`` for none.
            token_ids: id of each token, same shape.

        Raises:
            StorageError: a part is damaged.
        """
        index, base = self._index, self._index.base
        unknown = (token_ids > base - 2) | (previous > base - 2)
        key = np.where(unknown, 0, (previous + 1) * base + token_ids)
        key_of_pair = rows * base**2 + key
        rejects, chooses = _contains(index.rejected_of_pair, key_of_pair), _contains(index.chosen_of_pair, key_of_pair)
        return OtherPairs(
            rejects=np.where(unknown, 0, _count(index.rejects, key) - rejects),
            chooses=np.where(unknown, 0, _count(index.chooses, key) - chooses),
            rejected_by_pair=~unknown & rejects,
            seen=~unknown & _contains(index.seen, key),
        )


def previous_tokens(lengths: Ints, token_ids: Ints) -> Ints:
    """Return the id of every previous token, shape (tokens,); ``RESPONSE_START`` at the start of each response.

    Args:
        lengths: tokens of each response, shape (responses,).
        token_ids: ids of concatenated responses, shape (tokens,).
    """
    previous = np.concatenate([[RESPONSE_START], token_ids[:-1]]) if len(token_ids) else token_ids
    starts = (np.cumsum(lengths) - lengths)[lengths > 0]
    previous[starts] = RESPONSE_START
    return previous


def sampled_pairs(run: Run, split: str) -> pd.DataFrame:
    """Return the scored pairs of ``split``, or ``MAX_COUNTED_PAIRS`` of them: row, pair_id and more, by row."""
    pairs = pair_index(run).pairs
    pairs = pairs[pairs["split"] == split]
    return pairs[sample_mask(list(pairs["pair_id"]), list(pairs["split"]), list(pairs["status"]), MAX_COUNTED_PAIRS)]


class _Responses(NamedTuple):
    """Concatenated responses of one side: rows and lengths, shape (responses,), and token ids, shape (tokens,)."""

    rows: Ints
    lengths: Ints
    token_ids: Ints


def _parts(run: Run, rows: Ints) -> Iterator[tuple[_Responses, _Responses]]:
    """Yield the chosen and the rejected responses of these rows, part by part."""
    for part in range(run.n_parts) if len(rows) else ():
        table = run.responses(part, columns=["row", "side", "token_ids"])
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
        sides = side_indices(table)
        chosen, rejected = (_responses(table.filter(pa.array(sides == side))) for side in range(len(SIDES)))
        yield chosen, rejected


def _responses(table: pa.Table) -> _Responses:
    lengths, ids = flatten_lists(table["token_ids"])
    return _Responses(table["row"].to_numpy(), lengths, ids.astype(np.int64))


def _pair_keys(base: int, responses: _Responses) -> Ints:
    """Return the key of every bigram with its pair's row, shape (tokens,)."""
    previous = previous_tokens(responses.lengths, responses.token_ids)
    return np.repeat(responses.rows, responses.lengths) * base**2 + (previous + 1) * base + responses.token_ids


def _distinct(keys: list[Ints]) -> Ints:
    return np.unique(np.concatenate([*keys, np.zeros(0, np.int64)]))


def _contains(keys: Ints, query: Ints) -> Mask:
    """Return which keys of ``query`` are among the sorted ``keys``."""
    if not len(keys):
        return np.zeros(query.shape, dtype=bool)
    return keys[np.minimum(np.searchsorted(keys, query), len(keys) - 1)] == query


def _count(counts: tuple[Ints, Ints], query: Ints) -> Ints:
    """Return the count of each key of ``query``, 0 where it has none."""
    keys, numbers = counts
    if not len(keys):
        return np.zeros(query.shape, dtype=np.int64)
    nearest = np.minimum(np.searchsorted(keys, query), len(keys) - 1)
    return np.where(keys[nearest] == query, numbers[nearest], 0)
