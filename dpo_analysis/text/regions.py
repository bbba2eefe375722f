"""Where in its response a token stands, and whether the other side has it too: rules, stated, on arrays of tokens."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]
PLACES = ("opening", "core", "closing", "end")
FEW, MOST = 8, 16
"""Tokens of opening and closing in a response of fewer than three sentences; the most they have in any other."""
SPANS = ("before", "differing", "after")
"""before: the tokens that chosen and rejected begin with alike; after: those that they end with alike, as far as they
are not in front; differing: what lies between. On the shared beginning both sides move alike, exactly."""
STOP = re.compile(r"""[.!?…]["'”’)\]*]*\Z""")
FULL_STOP = re.compile(r"""[。！？][”’」』）]*\s*\Z|\n\s*\Z""")


def places(lengths: Ints, special: Marks, ends: Marks | None = None) -> Ints:
    """The place in ``PLACES`` of every token, shape (tokens,).

    The end of text comes first: the last token, or the last two, if special (ChatML puts a newline behind its mark). Of
    what is left, in a response of three sentences or more, the first sentence is the opening and the last one the
    closing, of up to ``MOST`` tokens each, the nearest to their end; in any other the first ``FEW`` tokens are the
    opening and the last ``FEW`` not in it the closing. The core is what lies between; it may be empty.

    Args:
        lengths: tokens of each response, one response behind the other, shape (responses,).
        special: which tokens are special, shape (tokens,).
        ends: which tokens end a sentence, shape (tokens,): see ``sentence_ends``; None where that is not known.
    """
    position = np.arange(len(special)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    body = lengths - _ends(lengths, special)
    opening, closing = _borders(lengths, body, position, ends)
    body, opening, closing = (np.repeat(one, lengths) for one in (body, opening, closing))
    conditions = [position >= body, position < opening, position >= closing]
    codes = [PLACES.index(name) for name in ("end", "opening", "closing")]
    return np.select(conditions, codes, PLACES.index("core")).astype(np.int64)


class Sentences(NamedTuple):
    """What the entries of a vocabulary have to do with sentences, each of shape (entries,).

    Attributes:
        full: ends a sentence whatever follows: a full stop of Chinese or Japanese, or a line break.
        stop: ends one before white space: one of ``. ! ? …``.
        spaced: begins with white space.
        blank: is white space.
    """

    full: Marks
    stop: Marks
    spaced: Marks
    blank: Marks

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Sentences":
        """Look at texts of entries, empty for a special one."""
        rules = (FULL_STOP.search, STOP.search, lambda one: one[:1].isspace(), str.isspace)
        return cls(*(np.array([bool(rule(one)) for one in texts], dtype=bool) for rule in rules))

    def at(self, place: Ints) -> "Sentences":
        """The same of the entries at these places."""
        return Sentences(*(one[place] for one in self))

    def ends(self, lengths: Ints) -> Marks:
        """Which tokens end a sentence, where these are the tokens of responses one behind the other."""
        last = np.zeros(len(self.full) + 1, dtype=bool)
        last[np.cumsum(lengths)] = True
        inside = ~last[1:]
        next_spaced, next_blank = (np.append(one[1:], False) & inside for one in (self.spaced, self.blank))
        return (self.full | (self.stop & next_spaced)) & ~next_blank


def sentence_ends(vocab: pa.Table | None, lengths: Ints, token_ids: Ints) -> Marks | None:
    """Which tokens end a sentence, shape (tokens,); None without a vocabulary.

    A token does that ends with a full stop of Chinese or Japanese or with a line break, or with one of ``. ! ? …``
    before a token that begins with white space; white space behind a sentence belongs to it.
    """
    if vocab is None:
        return None
    known, place = np.unique(token_ids, return_inverse=True)
    entries = vocab.filter(pa.array(np.isin(vocab["token_id"].to_numpy(), known)))
    texts = dict(zip(entries["token_id"].to_pylist(), plain_texts(entries), strict=True))
    return Sentences.of([texts.get(one, "") for one in known.tolist()]).at(place).ends(lengths)


def plain_texts(vocab: pa.Table) -> list[str]:
    """The text of every entry of a vocabulary, what is no whole character left out; empty for a special one."""
    pairs = zip(vocab["bytes"].to_pylist(), vocab["special"].to_pylist(), strict=True)
    return ["" if special else content.decode("utf-8", "ignore") for content, special in pairs]


def _borders(lengths: Ints, body: Ints, position: Ints, ends: Marks | None) -> tuple[Ints, Ints]:
    """Where the opening stops and the closing begins in each response."""
    opening = np.minimum(FEW, body)
    closing = np.maximum(opening, body - FEW)
    if ends is None or not len(position):
        return opening, closing
    row = np.repeat(np.arange(len(lengths)), lengths)
    inner = ends & (position < np.repeat(body, lengths) - 1)
    many = np.bincount(row[inner], minlength=len(lengths)) >= 2
    first, last = np.full(len(lengths), np.iinfo(np.int64).max), np.zeros(len(lengths), dtype=np.int64)
    np.minimum.at(first, row[inner], position[inner] + 1)
    np.maximum.at(last, row[inner], position[inner] + 1)
    return (
        np.where(many, np.minimum(first, MOST), opening),
        np.where(many, np.maximum(last, body - MOST), closing),
    )


def _ends(lengths: Ints, special: NDArray[np.bool_]) -> Ints:
    """How many tokens of each response are its end of text: 2, 1 or 0."""
    last = np.cumsum(lengths) - 1
    padded = np.append(special, False)
    one = (lengths >= 1) & padded[np.where(lengths >= 1, last, -1)]
    two = (lengths >= 2) & padded[np.where(lengths >= 2, last - 1, -1)]
    return np.where(two, 2, one.astype(np.int64))


def spans(chosen: tuple[Ints, Ints], rejected: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """The place in ``SPANS`` of every token of the chosen and of the rejected responses, each of shape (tokens,).

    Args:
        chosen: lengths, shape (pairs,), and token ids one response behind the other.
        rejected: the same of the other side.
    """
    front = _alike(_padded(*chosen, -1), _padded(*rejected, -2))
    least = np.minimum(chosen[0], rejected[0])
    back = _alike(_padded(*chosen, -1, turned=True), _padded(*rejected, -2, turned=True))
    back = np.minimum(back, least - front)
    return _spans(chosen[0], front, back), _spans(rejected[0], front, back)


def _spans(lengths: Ints, front: Ints, back: Ints) -> Ints:
    position = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    before = position < np.repeat(front, lengths)
    after = position >= np.repeat(lengths - back, lengths)
    return np.select([before, after], [0, 2], 1).astype(np.int64)


def _padded(lengths: Ints, token_ids: Ints, filler: int, *, turned: bool = False) -> Ints:
    """Ids as a rectangle, shape (pairs, longest + 1), ``filler`` behind each response; turned: last token first."""
    grid = np.full((len(lengths), int(lengths.max(initial=0)) + 1), filler, dtype=np.int64)
    position = np.arange(len(token_ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    row = np.repeat(np.arange(len(lengths)), lengths)
    grid[row, np.repeat(lengths, lengths) - 1 - position if turned else position] = token_ids
    return grid


def _alike(first: Ints, second: Ints) -> Ints:
    """How many tokens two rectangles of ids have in common from the left, shape (pairs,)."""
    width = min(first.shape[1], second.shape[1])
    other = first[:, :width] != second[:, :width]
    return np.where(other.any(axis=1), other.argmax(axis=1), width).astype(np.int64)
