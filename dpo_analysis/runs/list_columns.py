"""List columns of Arrow tables as flat arrays: the length of each list, all values, and a sum per list."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from dpo_analysis.schema import SIDES

compute: Any = pyarrow.compute
"""pyarrow.compute, untyped: its functions are made at import, so a type checker sees none of them."""


def side_indices(table: pa.Table) -> NDArray[np.int64]:
    """Return the index in ``schema.SIDES`` of the side of every row, shape (rows,); -1 for any other side."""
    return compute.fill_null(compute.index_in(table["side"], pa.array(SIDES)), -1).to_numpy().astype(np.int64)


def flatten_lists(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray]:
    """Return the length of every list, shape (rows,), 0 for null, and all values concatenated, shape (values,)."""
    joined = column.combine_chunks()
    lengths = compute.fill_null(joined.value_lengths(), 0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64), joined.flatten().to_numpy(zero_copy_only=False)


def list_lengths(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the length of every list, shape (rows,); -1 for null."""
    lengths = compute.fill_null(column.combine_chunks().value_lengths(), -1)
    return lengths.to_numpy(zero_copy_only=False).astype(np.int64)


def list_sums(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the sum of every list, float64, shape (rows,); NaN for null and empty lists."""
    lengths, values = flatten_lists(column)
    return segment_sums(values, lengths)


def segment_sums(values: NDArray, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums of consecutive segments of ``values``, float64, shape (segments,); NaN for empty segments."""
    result = np.full(len(lengths), np.nan)
    starts = np.cumsum(lengths) - lengths
    if len(values):
        filled = lengths > 0
        result[filled] = np.add.reduceat(values.astype(np.float64), starts[filled])
    return result
