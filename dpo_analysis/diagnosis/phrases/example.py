"""The most typical pair that fell: the pair to show first."""

from collections.abc import Sequence

import numpy as np

from dpo_analysis.arrays.vocabulary import Vocabulary, read_vocabulary
from dpo_analysis.diagnosis.ledger.ledger import Ledger, sum_by
from dpo_analysis.diagnosis.phrases.phrase import Example
from dpo_analysis.diagnosis.phrases.phrases import PhrasePlaces, phrase_places, phrase_text
from dpo_analysis.diagnosis.phrases.response_words import response_words
from dpo_analysis.runs import Run
from dpo_analysis.text.regions import REGIONS

READABLE_TOKENS = 120
"""Responses up to this length are preferred, since the example is read at a glance."""
TYPICAL_SHARE = 0.1
"""Share of the lost log-prob that the first phrase must have so that the example is a pair with it."""


def find_example(run: Run, ledger: Ledger, pair_ids: Sequence[str]) -> Example | None:
    """Return the pair whose loss is the median of those with the phrase that lost most; None where nothing was lost.

    Where no phrase has ``TYPICAL_SHARE`` of the loss, the median is that of all pairs that fell. Pairs with a chosen
    response of at most ``READABLE_TOKENS`` tokens come first.

    Args:
        run: an open run.
        ledger: the ledger of the checkpoint shown.
        pair_ids: id of the pair of each of the ledger's rows.

    Raises:
        StorageError: a part is damaged.
    """
    tokens = ledger.tokens
    total = float(tokens.lost.sum())
    if not len(ledger.rows) or not total:
        return None
    first = next(iter(phrase_places(read_vocabulary(run), ledger)), None)
    if first is None or first.lost.sum() < TYPICAL_SHARE * total:
        pair = _median_pair(ledger, np.arange(len(ledger.rows)))
        return _with_word(read_vocabulary(run), ledger, pair, str(pair_ids[pair]))
    pair = _median_pair(ledger, np.unique(tokens.pair[first.first]))
    return _with_phrase(ledger, pair, first, str(pair_ids[pair]))


def _median_pair(ledger: Ledger, pairs: np.ndarray) -> int:
    """Return the pair whose loss is nearest to the median, of the readable pairs where there are any."""
    tokens, size = ledger.tokens, len(ledger.rows)
    lost = sum_by(tokens.pair, tokens.lost, size)[pairs]
    lengths = np.bincount(tokens.pair, minlength=size)[pairs]
    readable = lengths <= READABLE_TOKENS
    distance = np.abs(lost - np.median(lost)) + np.where(readable | ~readable.any(), 0.0, np.inf)
    return int(pairs[distance.argmin()])


def _lost(ledger: Ledger, pair: int) -> float:
    return float(ledger.tokens.lost[ledger.tokens.pair == pair].sum())


def _with_phrase(ledger: Ledger, pair: int, phrase: PhrasePlaces, pair_id: str) -> Example:
    """Return the example with the place in it where the phrase lost most."""
    tokens = ledger.tokens
    inside = np.flatnonzero(tokens.pair[phrase.first] == pair)
    place = int(inside[phrase.lost[inside].argmax()])
    return Example(
        pair_id,
        ledger.model.key,
        lost=_lost(ledger, pair),
        phrase=phrase.text,
        phrase_lost=float(phrase.lost[place]),
        first=int(tokens.position[phrase.first[place]]),
        last=int(tokens.position[phrase.stop[place] - 1]),
        repeated=True,
    )


def _with_word(vocabulary: Vocabulary, ledger: Ledger, pair: int, pair_id: str) -> Example:
    """Return the example with the word of its response that lost most."""
    tokens = ledger.tokens
    inside = np.flatnonzero((tokens.pair == pair) & (tokens.region != REGIONS.index("end")))
    found = response_words(vocabulary, np.array([len(inside)]), tokens.token_ids[inside])
    lost = np.add.reduceat(tokens.lost[inside], found.start) if len(found.start) else np.zeros(0)
    text = ""
    if len(lost) and lost.max() > 0:
        word = int(lost.argmax())
        first, stop = int(found.start[word]), int(found.stop[word])
        text = phrase_text(vocabulary, tokens.token_ids[inside[first:stop]])
    if not text:
        return Example(pair_id, ledger.model.key, lost=_lost(ledger, pair))
    return Example(
        pair_id,
        ledger.model.key,
        lost=_lost(ledger, pair),
        phrase=text,
        phrase_lost=float(lost.max()),
        first=int(tokens.position[inside[first]]),
        last=int(tokens.position[inside[stop - 1]]),
    )
