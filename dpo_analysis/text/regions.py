"""Regions and spans of a response: rules on arrays of tokens, without a model."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.numerics.segments import segment_positions

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
REGIONS = ("opening", "core", "closing", "end")
"""Regions of a response; stored, exported and shown under the name ``place``."""
EDGE_TOKENS, LONGEST_EDGE = 8, 16
"""Tokens of opening and closing in a response of fewer than three sentences; their most in a longer response."""
SPANS = ("before", "differing", "after")
"""before: the tokens at the beginning that chosen and rejected share; after: the tokens at the end that they share and
that are not in ``before``; differing: the tokens in between. In ``before`` both sides change by exactly the same."""
STOP = re.compile(r"""[.!?…]["'”’)\]*]*\Z""")
FULL_STOP = re.compile(r"""[。！？][”’」』）]*\s*\Z|\n\s*\Z""")


def token_regions(lengths: Ints, special: Mask, ends: Mask | None = None) -> Ints:
    """Return the index in ``REGIONS`` of every token, shape (tokens,).

    ``end`` is the end of text: the last token, or the last two, if special (ChatML puts a newline after its end mark).
    Of the tokens before it, in a response of three sentences or more, the first sentence is the opening and the last
    sentence the closing; of each, only the ``LONGEST_EDGE`` tokens at the edge of the response. In a response of fewer
    sentences the first ``EDGE_TOKENS`` tokens are the opening, and the last ``EDGE_TOKENS`` that are not in the opening
    are the closing. The core is what lies in between; it may be empty.

    Args:
        lengths: tokens of each response, shape (responses,).
        special: which tokens are special, shape (tokens,), all responses concatenated.
        ends: which tokens end a sentence, shape (tokens,), from ``sentence_ends``; None without a vocabulary.
    """
    position = segment_positions(lengths)
    body = lengths - _end_tokens(lengths, special)
    opening, closing = _edges(lengths, body, position, ends)
    body, opening, closing = (np.repeat(border, lengths) for border in (body, opening, closing))
    conditions = [position >= body, position < opening, position >= closing]
    codes = [REGIONS.index(name) for name in ("end", "opening", "closing")]
    return np.select(conditions, codes, REGIONS.index("core")).astype(np.int64)


class SentenceMarks(NamedTuple):
    """Which vocabulary entries, or which tokens, can end a sentence; each of shape (entries,) or (tokens,).

    Attributes:
        full: ends a sentence whatever follows: a full stop of Chinese or Japanese, or a line break.
        stop: ends a sentence if white space follows: one of ``. ! ? …``.
        spaced: begins with white space.
        blank: is white space.
    """

    full: Mask
    stop: Mask
    spaced: Mask
    blank: Mask

    @classmethod
    def of(cls, texts: Sequence[str]) -> "SentenceMarks":
        """Return the marks of these texts, each of shape (texts,); the text of a special entry is empty."""
        rules = (FULL_STOP.search, STOP.search, lambda text: text[:1].isspace(), str.isspace)
        return cls(*(np.array([bool(rule(text)) for text in texts], dtype=bool) for rule in rules))

    def take(self, indices: Ints) -> "SentenceMarks":
        """Return the marks of the entries at these indices, each of the shape of ``indices``."""
        return SentenceMarks(*(mark[indices] for mark in self))

    def ends(self, lengths: Ints) -> Mask:
        """Return which tokens end a sentence, shape (tokens,), if these are the marks of concatenated responses.

        Args:
            lengths: tokens of each response, shape (responses,).
        """
        last = np.zeros(len(self.full) + 1, dtype=bool)
        last[np.cumsum(lengths)] = True
        inside = ~last[1:]
        next_spaced, next_blank = (np.append(mark[1:], False) & inside for mark in (self.spaced, self.blank))
        return (self.full | (self.stop & next_spaced)) & ~next_blank


def sentence_ends(vocab: pa.Table | None, lengths: Ints, token_ids: Ints) -> Mask | None:
    """Return which tokens end a sentence, shape (tokens,); None without a vocabulary.

    A token ends a sentence if it ends with a full stop of Chinese or Japanese or with a line break, or with one of
    ``. ! ? …`` before a token that begins with white space. White space after a sentence belongs to that sentence.

    Args:
        vocab: vocabulary in ``schema.VOCAB_SCHEMA``.
        lengths: tokens of each response, shape (responses,).
        token_ids: concatenated responses, shape (tokens,).
    """
    if vocab is None:
        return None
    distinct, index = np.unique(token_ids, return_inverse=True)
    entries = vocab.filter(pa.array(np.isin(vocab["token_id"].to_numpy(), distinct)))
    texts = dict(zip(entries["token_id"].to_pylist(), decoded_texts(entries), strict=True))
    return SentenceMarks.of([texts.get(token_id, "") for token_id in distinct.tolist()]).take(index).ends(lengths)


def decoded_texts(vocab: pa.Table) -> list[str]:
    """Return the text of every vocabulary entry, without bytes that form no whole character; empty for a special one.

    Args:
        vocab: vocabulary in ``schema.VOCAB_SCHEMA``.
    """
    pairs = zip(vocab["bytes"].to_pylist(), vocab["special"].to_pylist(), strict=True)
    return ["" if special else content.decode("utf-8", "ignore") for content, special in pairs]


def token_spans(chosen: tuple[Ints, Ints], rejected: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """Return the index in ``SPANS`` of every token of the chosen and of the rejected responses, each shape (tokens,).

    Args:
        chosen: lengths, shape (pairs,), and token ids of the concatenated responses, shape (tokens,).
        rejected: lengths and token ids of the rejected responses.
    """
    before = _shared_lengths(_padded(*chosen, -1), _padded(*rejected, -2))
    shorter = np.minimum(chosen[0], rejected[0])
    after = _shared_lengths(_padded(*chosen, -1, reverse=True), _padded(*rejected, -2, reverse=True))
    after = np.minimum(after, shorter - before)
    return _spans(chosen[0], before, after), _spans(rejected[0], before, after)


def _spans(lengths: Ints, before: Ints, after: Ints) -> Ints:
    position = segment_positions(lengths)
    conditions = [position < np.repeat(before, lengths), position >= np.repeat(lengths - after, lengths)]
    codes = [SPANS.index(name) for name in ("before", "after")]
    return np.select(conditions, codes, SPANS.index("differing")).astype(np.int64)


def _padded(lengths: Ints, token_ids: Ints, filler: int, *, reverse: bool = False) -> Ints:
    """Return ids as rows padded with ``filler``, shape (pairs, longest + 1); reverse: the last token comes first."""
    grid = np.full((len(lengths), int(lengths.max(initial=0)) + 1), filler, dtype=np.int64)
    position = segment_positions(lengths)
    row = np.repeat(np.arange(len(lengths)), lengths)
    grid[row, np.repeat(lengths, lengths) - 1 - position if reverse else position] = token_ids
    return grid


def _shared_lengths(first: Ints, second: Ints) -> Ints:
    """Return how many columns two grids of ids have in common from the left, shape (pairs,)."""
    width = min(first.shape[1], second.shape[1])
    differs = first[:, :width] != second[:, :width]
    return np.where(differs.any(axis=1), differs.argmax(axis=1), width).astype(np.int64)


def _edges(lengths: Ints, body: Ints, position: Ints, ends: Mask | None) -> tuple[Ints, Ints]:
    """Return the position after the opening and that of the closing's first token, each of shape (responses,)."""
    opening = np.minimum(EDGE_TOKENS, body)
    closing = np.maximum(opening, body - EDGE_TOKENS)
    if ends is None or not len(position):
        return opening, closing
    row = np.repeat(np.arange(len(lengths)), lengths)
    inner = ends & (position < np.repeat(body, lengths) - 1)
    three_sentences = np.bincount(row[inner], minlength=len(lengths)) >= 2
    first, last = np.full(len(lengths), np.iinfo(np.int64).max), np.zeros(len(lengths), dtype=np.int64)
    np.minimum.at(first, row[inner], position[inner] + 1)
    np.maximum.at(last, row[inner], position[inner] + 1)
    return (
        np.where(three_sentences, np.minimum(first, LONGEST_EDGE), opening),
        np.where(three_sentences, np.maximum(last, body - LONGEST_EDGE), closing),
    )


def _end_tokens(lengths: Ints, special: Mask) -> Ints:
    """Return how many tokens of each response are its end of text: 2, 1 or 0; shape (responses,)."""
    last = np.cumsum(lengths) - 1
    padded = np.append(special, False)
    last_special = (lengths >= 1) & padded[np.where(lengths >= 1, last, -1)]
    second_special = (lengths >= 2) & padded[np.where(lengths >= 2, last - 1, -1)]
    return np.where(second_special, 2, last_special.astype(np.int64))
