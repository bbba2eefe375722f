"""Tokens of concatenated responses joined to words, so that a phrase never begins or ends inside a word.

A word is what stands between white space; each Chinese or Japanese character is a word. Always whole tokens: a token
that continues a word, or holds bytes of a character that began before it, belongs to that word.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.vocabulary import Vocabulary
from dpo_analysis.numerics.segments import segment_positions

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
CONTINUATION = range(0x80, 0xC0)
"""First bytes that only continue a character."""
WIDE = range(0xE3, 0xF0)
"""First bytes of characters that are words by themselves: Chinese, Japanese and Korean ones and their marks."""


class ResponseWords(NamedTuple):
    """Words of concatenated responses.

    Attributes:
        start: index of each word's first token, shape (words,).
        codes: number of each word, equal for equal token ids, shape (words,).
        pair: number of the response that each word belongs to, shape (words,).
        stop: index behind each word's last token, shape (words,).
    """

    start: Ints
    codes: Ints
    pair: Ints
    stop: Ints


def response_words(vocabulary: Vocabulary, lengths: Ints, token_ids: Ints) -> ResponseWords:
    """Return the words of concatenated responses.

    Args:
        vocabulary: the bytes of every token id.
        lengths: tokens of each response, shape (responses,).
        token_ids: ids of the concatenated responses, shape (tokens,).
    """
    if not len(token_ids):
        return ResponseWords(*[np.zeros(0, np.int64)] * 4)
    first_of_response = segment_positions(lengths) == 0
    start = np.flatnonzero(first_of_response | _begins_word(vocabulary, token_ids))
    stop = np.append(start[1:], len(token_ids))
    pair = np.repeat(np.arange(len(lengths)), lengths)[start]
    return ResponseWords(start, _codes(token_ids, start, stop), pair, stop)


def _begins_word(vocabulary: Vocabulary, token_ids: Ints) -> Mask:
    """Return which tokens begin a word by their bytes or by those in front of them, shape (tokens,)."""
    distinct, place = np.unique(token_ids, return_inverse=True)
    contents = [content or b" " for content in vocabulary.bytes_and_texts(distinct)[0].tolist()]
    spaced = np.array([content[:1].isspace() and content.strip(b"\r\n") != b"" for content in contents])
    continues = np.array([content[0] in CONTINUATION for content in contents])
    wide = np.array([content[0] in WIDE for content in contents])
    blank = np.array([content.isspace() for content in contents])
    # White space alone joins the word behind it, but for line breaks, which end what stands in front of them.
    ends = np.array([content[-1:] in b"\n\t" or content[0] in WIDE for content in contents])
    behind_end = np.concatenate([[True], ends[place][:-1]])
    behind_blank = np.concatenate([[False], blank[place][:-1] & ~ends[place][:-1]])
    return (spaced[place] | wide[place] | behind_end) & ~continues[place] & ~behind_blank


def _codes(token_ids: Ints, start: Ints, stop: Ints) -> Ints:
    """Return a number for each run of token ids, equal for equal runs."""
    codes = np.zeros(len(start), dtype=np.int64)
    for place in range(int((stop - start).max(initial=0))):
        inside = start + place < stop
        ids = np.where(inside, token_ids[np.minimum(start + place, len(token_ids) - 1)] + 1, 0)
        keys = np.stack([codes, ids], axis=1)
        codes = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    return codes.astype(np.int64)
