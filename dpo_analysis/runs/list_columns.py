"""Columns of lists as flat arrays: lengths, values, and sums of what lies between."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpo_analysis.schema import SIDES


def side_places(table: pa.Table) -> NDArray[np.int64]:
    """The place in ``schema.SIDES`` of every row's side, shape (rows,); -1 for another side."""
    return pc.fill_null(pc.index_in(table["side"], pa.array(SIDES)), -1).to_numpy().astype(np.int64)


def lists(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray]:
    """A column of lists as lengths, shape (rows,), 0 for null, and all values one after the other."""
    joined = column.combine_chunks()
    lengths = pc.fill_null(joined.value_lengths(), 0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64), joined.flatten().to_numpy(zero_copy_only=False)


def list_sums(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """The sum of every list, float64, shape (rows,); NaN for null and empty lists."""
    lengths, values = lists(column)
    return segment_sums(values, lengths)


def segment_sums(values: NDArray, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of consecutive segments of ``values``, float64, shape (segments,); NaN for an empty segment."""
    result = np.full(len(lengths), np.nan)
    starts = np.cumsum(lengths) - lengths
    if len(values):
        filled = lengths > 0
        result[filled] = np.add.reduceat(values.astype(np.float64), starts[filled])
    return result
