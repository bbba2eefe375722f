"""The phrase of other pairs' chosen responses that took the probability: how their texts go on from a token."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.vocabulary import read_vocabulary
from dpo_analysis.diagnosis.ledger.bigram_counts import previous_tokens, sampled_pairs
from dpo_analysis.diagnosis.ledger.ledger import Ledger
from dpo_analysis.diagnosis.ledger.top_bigrams import gained_bigrams
from dpo_analysis.diagnosis.phrases.phrases import phrase_text
from dpo_analysis.diagnosis.phrases.response_words import response_words
from dpo_analysis.runs import Run
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import CHOSEN, SIDES
from dpo_analysis.text.regions import REGIONS
from dpo_analysis.text.token_types import special_tokens_mask

Ints = NDArray[np.int64]
MOST_WORDS = 12
"""Words of a continuation at most."""
SHARED = 0.5
"""Share of the places from which a continuation must go on with the same words."""


def find_replacement(run: Run, ledger: Ledger, region: str) -> str:
    """Return the words of other pairs' chosen responses that begin with the bigram which gained most; empty for none.

    The bigram is the one that gained most of the probability lost in ``region``, of those that other pairs choose more
    than they reject. From its token on, the words are those that at least half of the chosen responses with this bigram
    go on with, so that a reader sees a whole word in place of a token.

    Args:
        run: an open run.
        ledger: a ledger with evidence ``topk``.
        region: one of ``text.regions.REGIONS``.

    Raises:
        StorageError: a part is damaged.
    """
    if not ledger.has_evidence:
        return ""
    gains = gained_bigrams(ledger)
    inside = gains.region == REGIONS.index(region)
    if not inside.any():
        return ""
    keys, place = np.unique(
        np.stack([gains.previous_ids[inside], gains.token_ids[inside]], axis=1), axis=0, return_inverse=True
    )
    sums = np.bincount(place.reshape(-1), gains.nats[inside])
    rows = np.full(len(keys), ledger.rows[0])
    others = ledger.bigrams.look_up(rows, keys[:, 0], keys[:, 1])
    sums = np.where(others.chooses > others.rejects, sums, 0.0)
    if not sums.max():
        return ""
    previous, token = keys[int(sums.argmax())].tolist()
    return _continuation(run, ledger.bigrams.split, previous, token)


def _continuation(run: Run, split: str, previous: int, token: int) -> str:
    """Return the words with which the chosen responses of a split go on from a bigram's token."""
    vocabulary, found = read_vocabulary(run), []
    counted = sampled_pairs(run, split)["row"].to_numpy()
    for part in run.present_parts:
        lengths, ids = _chosen_tokens(run, part, counted)
        words = response_words(vocabulary, lengths, ids)
        hits = np.flatnonzero((ids == token) & (previous_tokens(lengths, ids) == previous))
        first = np.searchsorted(words.start, hits, side="right") - 1
        for start in first.tolist():
            stop = min(start + MOST_WORDS, int(np.searchsorted(words.pair, words.pair[start], side="right")))
            found.append([tuple(ids[words.start[word] : words.stop[word]].tolist()) for word in range(start, stop)])
    shared = np.array(_shared_beginning(found) if found else [], dtype=np.int64)
    special = np.append(special_tokens_mask(run.vocab(), shared), True)
    return phrase_text(vocabulary, shared[: int(special.argmax())])


def _chosen_tokens(run: Run, part: int, rows: Ints) -> tuple[Ints, Ints]:
    """Return lengths and token ids of the chosen responses of these rows in one part."""
    table = run.responses(part, columns=["row", "side", "token_ids"])
    kept = (side_indices(table) == SIDES.index(CHOSEN)) & np.isin(table["row"].to_numpy(), rows)
    lengths, ids = flatten_lists(table.filter(pa.array(kept))["token_ids"])
    return lengths, ids.astype(np.int64)


def _shared_beginning(sequences: Sequence[Sequence[tuple[int, ...]]]) -> list[int]:
    """Return the token ids of the words that at least ``SHARED`` of the sequences begin with, at least one word."""
    kept, shared = list(sequences), []
    for place in range(MOST_WORDS):
        words = Counter(sequence[place] for sequence in kept if len(sequence) > place)
        if not words:
            break
        word, count = words.most_common(1)[0]
        if place and count < SHARED * len(sequences):
            break
        shared += word
        kept = [sequence for sequence in kept if len(sequence) > place and sequence[place] == word]
    return shared
