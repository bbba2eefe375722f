"""Positions in arrays that hold several sequences one after the other, such as the tokens of many responses."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def segment_positions(lengths: Ints) -> Ints:
    """Return the position of every element within its own segment, from 0, shape (sum of ``lengths``,).

    Lengths 2 and 3 give 0, 1, 0, 1, 2.

    Args:
        lengths: elements of each segment, shape (segments,); a segment may be empty.
    """
    starts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
