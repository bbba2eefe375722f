"""Where in its response a token stands, and whether the other side has it too: rules, stated, on arrays of tokens."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
PLACES = ("opening", "core", "closing", "end")
OPENING = CLOSING = 8
"""Tokens of the opening and of the closing. The end of text comes first: the last token, or the last two, if special
(ChatML puts a newline behind its mark). Of the others the first 8 are the opening, the last 8 not in it the closing,
and what lies between them the core; a response of up to 8 tokens has no core and no closing."""
SPANS = ("before", "differing", "after")
"""before: the tokens that chosen and rejected begin with alike; after: those that they end with alike, as far as they
are not in front; differing: what lies between. On the shared beginning both sides move alike, exactly."""


def places(lengths: Ints, special: NDArray[np.bool_]) -> Ints:
    """The place in ``PLACES`` of every token, shape (tokens,).

    Args:
        lengths: tokens of each response, one response behind the other, shape (responses,).
        special: which tokens are special, shape (tokens,).
    """
    length = np.repeat(lengths, lengths)
    position = np.arange(len(special)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    body = np.repeat(lengths - _ends(lengths, special), lengths)
    conditions = [position >= body, position < OPENING, position >= body - CLOSING]
    codes = [PLACES.index(name) for name in ("end", "opening", "closing")]
    return np.select(conditions, codes, PLACES.index("core")).astype(np.int64)[: len(length)]


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
