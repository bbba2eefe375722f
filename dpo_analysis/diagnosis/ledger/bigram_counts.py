"""What pairs say behind each token: for every (previous token, token) how many pairs choose it and how many reject it.

Counts are discordant: a pair that has the two tokens in a row on both sides is no evidence for either and counts for
neither. The pair that is asked about never counts.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import inputs
from dpo_analysis.runs import Run
from dpo_analysis.runs.evidence.kinds import sampled
from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.schema import SIDES

Ints = NDArray[np.int64]
START = -1
"""The previous token of a response's first one: what stands in front is the prompt, which is each pair's own."""
TRAIN = "train"
"""The split whose pairs are taken as the training pairs, where a run has one of this name."""
COUNTED = 20_000
"""Pairs counted at most: of more, a sample drawn by the hash of pair_id."""


class Counts(NamedTuple):
    """Of every (pair, previous token, token) asked about, the pair itself left out; each of the shape asked.

    Attributes:
        rejects: pairs whose rejected response has it and whose chosen one has not.
        chooses: the reverse.
        own_rejects: whether the pair's own rejected response has it and its chosen one has not.
        seen: whether any text of any counted pair has it, its own among them.
    """

    rejects: Ints
    chooses: Ints
    own_rejects: NDArray[np.bool_]
    seen: NDArray[np.bool_]


class _Tables(NamedTuple):
    """Sorted numbers of word pairs.

    Attributes:
        base: what one number holds a token id in.
        chosen, rejected: of what one response of a pair alone has, with the pair.
        chooses, rejects: the same without the pair, and in how many.
        seen: of what any text has.
    """

    base: int
    chosen: Ints
    rejected: Ints
    chooses: tuple[Ints, Ints]
    rejects: tuple[Ints, Ints]
    seen: Ints


class Contexts:
    """The counts of one run over the pairs of one split, made when they are first asked for.

    Attributes:
        split: whose pairs are counted.
    """

    def __init__(self, run: Run, split: str) -> None:
        """Take what is counted: the pairs of ``split`` that are scored; reading them raises StorageError."""
        self.split, self._run = split, run

    @cached_property
    def n_pairs(self) -> int:
        """Pairs counted."""
        return len(self._rows)

    @cached_property
    def _rows(self) -> Ints:
        return _counted_rows(self._run, self.split)

    @cached_property
    def _tables(self) -> _Tables:
        found = list(_responses(self._run, self._rows))
        base = 2 + max((int(ids.max(initial=0)) for _, ids in _flat(found)), default=0)
        keys = [[_pair_keys(base, *one) for one in side] for side in zip(*found, strict=True)] or [[], []]
        chosen, rejected = (np.unique(np.concatenate([*side, np.zeros(0, np.int64)])) for side in keys)
        alone = np.setdiff1d(chosen, rejected, assume_unique=True), np.setdiff1d(rejected, chosen, assume_unique=True)
        counts = [np.unique(one % base**2, return_counts=True) for one in alone]
        return _Tables(base, *alone, *counts, np.unique(np.concatenate([chosen, rejected]) % base**2))

    def of(self, rows: Ints, before: Ints, token_ids: Ints) -> Counts:
        """The counts of tokens behind others, in these pairs.

        Args:
            rows: the row of each token's pair.
            before: the token in front of each; ``START`` for none.
            token_ids: the tokens.
        """
        known, base = self._tables, self._tables.base
        outside = (token_ids > base - 2) | (before > base - 2)
        key = np.where(outside, 0, (before + 1) * base + token_ids)
        own = rows * base**2 + key
        rejects, chooses = _member(known.rejected, own), _member(known.chosen, own)
        return Counts(
            np.where(outside, 0, _looked_up(known.rejects, key) - rejects),
            np.where(outside, 0, _looked_up(known.chooses, key) - chooses),
            ~outside & rejects,
            ~outside & _member(known.seen, key),
        )


def _pair_keys(base: int, rows: Ints, lengths: Ints, token_ids: Ints) -> Ints:
    """One number for each (pair, previous token, token)."""
    before = previous(lengths, token_ids)
    return np.repeat(rows, lengths) * base**2 + (before + 1) * base + token_ids


def previous(lengths: Ints, token_ids: Ints) -> Ints:
    """The token in front of each, shape (tokens,); ``START`` at the beginning of a response."""
    before = np.concatenate([[START], token_ids[:-1]]) if len(token_ids) else token_ids
    starts = (np.cumsum(lengths) - lengths)[lengths > 0]
    before[starts] = START
    return before


def _counted_rows(run: Run, split: str) -> Ints:
    pairs = inputs(run).pairs
    pairs = pairs[pairs["split"] == split]
    kept = sampled(list(pairs["pair_id"]), list(pairs["split"]), list(pairs["status"]), COUNTED)
    return pairs["row"].to_numpy()[kept]


_Side = tuple[Ints, Ints, Ints]
"""Rows and lengths of responses, and their token ids one response behind the other."""


def _responses(run: Run, rows: Ints) -> Iterator[tuple[_Side, _Side]]:
    for part in range(run.n_parts) if len(rows) else ():
        table = run.responses(part, columns=["row", "side", "token_ids"])
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), rows)))
        sides = side_places(table)
        chosen, rejected = (_side(table.filter(pa.array(sides == side))) for side in range(len(SIDES)))
        yield chosen, rejected


def _side(table: pa.Table) -> _Side:
    lengths, ids = lists(table["token_ids"])
    return table["row"].to_numpy(), lengths, ids.astype(np.int64)


def _flat(found: list[tuple[_Side, _Side]]) -> Iterator[tuple[Ints, Ints]]:
    for sides in found:
        for rows, _, ids in sides:
            yield rows, ids


def _member(known: Ints, asked: Ints) -> NDArray[np.bool_]:
    """Which of ``asked`` are in ``known``, which is sorted."""
    if not len(known):
        return np.zeros(asked.shape, dtype=bool)
    return known[np.minimum(np.searchsorted(known, asked), len(known) - 1)] == asked


def _looked_up(counts: tuple[Ints, Ints], asked: Ints) -> Ints:
    """The count of each, 0 where it has none."""
    keys, numbers = counts
    if not len(keys):
        return np.zeros(asked.shape, dtype=np.int64)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, numbers[place], 0)
