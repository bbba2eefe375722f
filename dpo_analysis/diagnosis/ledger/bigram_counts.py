"""How many other pairs choose and how many reject each bigram: a token directly behind its previous token.

The context of a token is its previous token alone. Counts are discordant: a pair that has the bigram in both of its
responses is no evidence for either side and counts for neither, since raw counts would blame the text that both
responses share. Pairs of one prompt and near duplicates count once together, and never for themselves.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.diagnosis.ledger.bigram_index import BigramIndex, OtherPairs, key_sets
from dpo_analysis.diagnosis.ledger.clusters import KeySets
from dpo_analysis.runs import Run
from dpo_analysis.runs.evidence.kinds import sample_mask
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import SIDES

Ints = NDArray[np.int64]
RESPONSE_START = -1
"""Stands for the previous token of a response's first token, whose real one belongs to the prompt of its own pair."""
TRAIN_SPLIT = "train"
"""The split whose pairs count as the training pairs, where a run has one of this name."""
MAX_COUNTED_PAIRS = 20_000
"""Pairs counted at most; of more pairs a sample is drawn by the hash of pair_id."""
MAX_COMPARED_PAIRS = 4096
"""Pairs of another split at most whose near duplicates among the counted pairs are found, drawn by the same hash."""


class BigramCounts:
    """The bigram counts of one run over the pairs of one split, made at the first query.

    Attributes:
        split: split whose pairs are counted.
    """

    def __init__(self, run: Run, split: str, asking: str | None = None) -> None:
        """Count the scored pairs of ``split``; the first query raises StorageError where a part is damaged.

        Args:
            run: an open run.
            split: split whose pairs are counted.
            asking: split of the pairs that queries are made for, whose near duplicates among the counted pairs are left
                out of their counts; None for ``split``. Pairs of the same prompt are left out in any case.
        """
        self.split, self._run, self._asking = split, run, asking

    @cached_property
    def n_pairs(self) -> int:
        """Number of counted pairs."""
        return len(sampled_pairs(self._run, self.split))

    @property
    def n_clusters(self) -> int:
        """Number of clusters of the counted pairs: what r and c can reach together with the asking pair's cluster."""
        return self.index.n_clusters

    @cached_property
    def index(self) -> BigramIndex:
        """The counted pairs by bigram."""
        pairs, counted = self._read_pairs
        rows = pairs["row"].to_numpy()
        base, chosen, rejected = _read_key_sets(self._run, rows)
        groups = np.unique(pairs["group_id"].to_numpy(dtype=str), return_inverse=True)[1]
        return BigramIndex.of(base, groups, chosen, rejected, counted)

    @cached_property
    def _read_pairs(self) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
        """The pairs whose responses are read, by row, and which of them are counted."""
        pairs = sampled_pairs(self._run, self.split)
        if self._asking not in (None, self.split):
            pairs = pd.concat([pairs, sampled_pairs(self._run, self._asking, MAX_COMPARED_PAIRS)]).sort_values("row")
        return pairs, (pairs["split"] == self.split).to_numpy()

    def clusters(self, rows: Ints) -> Ints:
        """Return the cluster of the pair of each row, in the shape of ``rows``; -1 where no counted pair is in it."""
        distinct, inverse = np.unique(rows, return_inverse=True)
        pairs, _ = self._read_pairs
        known = pairs["row"].to_numpy()
        cluster_of_group = dict(zip(pairs["group_id"], self.index.cluster_of.tolist(), strict=True))
        everything = pair_index(self._run)
        groups = everything.pairs["group_id"].to_numpy()[everything.indices(distinct)]
        found = np.array([cluster_of_group.get(group, -1) for group in groups], dtype=np.int64)
        place = np.minimum(np.searchsorted(known, distinct), max(len(known) - 1, 0))
        is_known = known[place] == distinct if len(known) else np.zeros(len(distinct), dtype=bool)
        found[is_known] = self.index.cluster_of[place[is_known]]
        return found[inverse.reshape(rows.shape)]

    def look_up(self, rows: Ints, previous: Ints, token_ids: Ints) -> OtherPairs:
        """Return what the other pairs do with each bigram.

        Args:
            rows: row of the pair that each bigram belongs to, shape (bigrams,).
            previous: id of each previous token, same shape; ``RESPONSE_START`` for none.
            token_ids: id of each token, same shape.

        Raises:
            StorageError: a part is damaged.
        """
        return self.index.look_up(self.clusters(rows), previous, token_ids)


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


def sampled_pairs(run: Run, split: str, count: int = MAX_COUNTED_PAIRS) -> pd.DataFrame:
    """Return the scored pairs of ``split``, or ``count`` of them: row, pair_id, group_id and more, by row."""
    pairs = pair_index(run).pairs
    pairs = pairs[pairs["split"] == split]
    return pairs[sample_mask(list(pairs["pair_id"]), list(pairs["split"]), list(pairs["status"]), count)]


class _Responses(NamedTuple):
    """Concatenated responses of one side: rows and lengths, shape (responses,), and token ids, shape (tokens,)."""

    rows: Ints
    lengths: Ints
    token_ids: Ints


def _parts(run: Run, rows: Ints) -> Iterator[tuple[_Responses, _Responses]]:
    """Yield the chosen and the rejected responses of these rows, part by part."""
    for part in run.present_parts if len(rows) else ():
        table = run.responses(part, columns=["row", "side", "token_ids"])
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
        sides = side_indices(table)
        chosen, rejected = (_responses(table.filter(pa.array(sides == side))) for side in range(len(SIDES)))
        yield chosen, rejected


def _responses(table: pa.Table) -> _Responses:
    lengths, ids = flatten_lists(table["token_ids"])
    return _Responses(table["row"].to_numpy(), lengths, ids.astype(np.int64))


def _read_key_sets(run: Run, rows: Ints) -> tuple[int, KeySets, KeySets]:
    """Return a base above every token id + 1, and the bigrams of both responses of each row."""
    parts = list(_parts(run, rows))
    base = 2 + max((int(side.token_ids.max(initial=0)) for part in parts for side in part), default=0)
    sides = []
    for side in range(len(SIDES)):
        empty = _Responses(*[np.zeros(0, np.int64)] * 3)
        columns = zip(*[empty, *(part[side] for part in parts)], strict=True)
        responses = _Responses(*(np.concatenate(column) for column in columns))
        pairs = np.repeat(np.searchsorted(rows, responses.rows), responses.lengths)
        previous = previous_tokens(responses.lengths, responses.token_ids)
        sides.append(key_sets(base, len(rows), pairs, previous, responses.token_ids))
    return base, sides[0], sides[1]
