"""The phrases at which the chosen responses lost log-prob: what they lost, where, and what other pairs do with them.

A phrase is a word sequence that stands in many chosen responses that fell, as long as it can be (``repeats``). Phrases
are taken one by one, the largest loss first; a token counts for one phrase only, so that what phrases lost adds up to
at most the whole.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.vocabulary import Vocabulary, read_vocabulary
from dpo_analysis.diagnosis.ledger.ledger import Ledger, sum_by
from dpo_analysis.diagnosis.phrases.other_pairs import count_other_pairs
from dpo_analysis.diagnosis.phrases.phrase import Phrase
from dpo_analysis.diagnosis.phrases.repeats import Repeat, find_repeats
from dpo_analysis.diagnosis.phrases.response_words import ResponseWords, response_words
from dpo_analysis.runs import Run
from dpo_analysis.text.regions import REGIONS

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_PHRASES = 8
"""Phrases that are looked for."""
SMALLEST_SHARE = 0.01
"""Share of the lost log-prob below which a phrase is not worth a line."""
LEADING_MARKS = ".,;:!?)]}。，、；：！？）」』”’"
"""Marks that close what stands in front of a phrase."""
OPEN_MARKS = ",;:，、；："
"""Marks after which a sentence goes on."""
LEAST_PAIRS, LEAST_PAIRS_SHARE = 3, 0.05
"""A phrase stands in at least so many of the responses that fell, and in at least this share of them."""


class PhrasePlaces(NamedTuple):
    """A phrase and where it stands.

    Attributes:
        text: the phrase.
        first: index in the ledger's tokens of the first token at each place, shape (places,).
        stop: index behind the last token at each place, shape (places,).
        lost: what the phrase lost at each place, nats, shape (places,).
    """

    text: str
    first: Ints
    stop: Ints
    lost: Array


def find_phrases(run: Run, ledger: Ledger) -> list[Phrase]:
    """Return the phrases that lost most in the chosen responses that fell, the largest loss first.

    Raises:
        StorageError: a part is damaged.
    """
    places = phrase_places(read_vocabulary(run), ledger)
    tokens, total = ledger.tokens, float(ledger.tokens.lost.sum())
    rows = [ledger.rows[tokens.pair[place.first]] for place in places]
    counts = count_other_pairs(run, ledger.bigrams.split, [place.text for place in places], rows)
    phrases = []
    for place, (rejects, chooses) in zip(places, counts, strict=True):
        lost_by_pair = sum_by(tokens.pair[place.first], place.lost, len(ledger.rows))
        having = np.unique(tokens.pair[place.first])
        by_region = sum_by(tokens.region[_inside(place)], tokens.lost[_inside(place)], len(REGIONS))
        phrases.append(
            Phrase(
                text=place.text,
                n_pairs=len(having),
                nats=float(lost_by_pair[having].mean()),
                share=float(place.lost.sum()) / total,
                place=REGIONS[int(by_region.argmax())],
                rejects=rejects,
                chooses=chooses,
            )
        )
    return phrases


def phrase_places(vocabulary: Vocabulary, ledger: Ledger) -> list[PhrasePlaces]:
    """Return the phrases that lost most and where they stand, the largest loss first; none where nothing repeats."""
    tokens = ledger.tokens
    special = tokens.region == REGIONS.index("end")
    kept = np.flatnonzero(~special)
    lengths = sum_by(tokens.pair[kept], np.ones(len(kept)), len(ledger.rows)).astype(np.int64)
    words = response_words(vocabulary, lengths, tokens.token_ids[kept])
    least = max(LEAST_PAIRS, math.ceil(LEAST_PAIRS_SHARE * len(ledger.rows)))
    # The end of text is cut off behind each response, so an index in `kept` is one in the ledger by this table.
    words = words._replace(start=kept[words.start], stop=kept[words.stop - 1] + 1)
    repeats = find_repeats(words.codes, words.pair, least)
    return list(_largest(vocabulary, ledger, words, repeats, least)) if repeats else []


def _largest(
    vocabulary: Vocabulary, ledger: Ledger, words: ResponseWords, repeats: list[Repeat], least_pairs: int
) -> Iterator[PhrasePlaces]:
    """Yield the phrases with the largest loss; each token counts for the first phrase that has it."""
    lost, total = ledger.tokens.lost.copy(), float(ledger.tokens.lost.sum())
    spans = [(words.start[repeat.starts], words.stop[repeat.starts + repeat.n_words - 1]) for repeat in repeats]
    for _ in range(MOST_PHRASES):
        running = np.concatenate([[0.0], np.cumsum(lost)])
        sums = [float((running[stop] - running[first]).sum()) for first, stop in spans]
        best = int(np.argmax(sums))
        if sums[best] < SMALLEST_SHARE * total:
            return
        first, stop = spans[best]
        amounts = running[stop] - running[first]
        free = amounts > 0
        enough = len(np.unique(ledger.tokens.pair[first[free]])) >= least_pairs
        text = phrase_text(vocabulary, ledger.tokens.token_ids[first[0] : stop[0]])
        if enough and text:
            yield PhrasePlaces(text, first[free], stop[free], amounts[free])
        lost[_ranges(first, stop)] = 0.0


def _inside(place: PhrasePlaces) -> Ints:
    """Return the indices of all tokens of the phrase."""
    return _ranges(place.first, place.stop)


def _ranges(first: Ints, stop: Ints) -> Ints:
    lengths = stop - first
    before = np.cumsum(lengths) - lengths
    return np.repeat(first - before, lengths) + np.arange(int(lengths.sum()))


def phrase_text(vocabulary: Vocabulary, token_ids: Ints) -> str:
    """Return the text of a phrase without white space and marks at its ends; empty where it is no whole text."""
    contents = vocabulary.bytes_and_texts(token_ids)[0].tolist()
    if any(content is None for content in contents):
        return ""
    try:
        return b"".join(contents).decode("utf-8").strip().lstrip(LEADING_MARKS).rstrip(OPEN_MARKS).strip()
    except UnicodeDecodeError:
        return ""
