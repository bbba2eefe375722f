"""The token ids of both responses of some pairs, from the run folder."""

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.runs import Run
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import SIDES

Ints = NDArray[np.int64]


def read_response_ids(run: Run, rows: Ints) -> tuple[list[Ints], list[Ints]]:
    """Return the token ids of the chosen and of the rejected response of each row; empty where not scored.

    Raises:
        StorageError: a part is damaged.
    """
    index_of = {row: index for index, row in enumerate(rows.tolist())}
    responses = [[np.zeros(0, np.int64)] * len(rows) for _ in SIDES]
    for part in sorted({row // run.part_size for row in index_of}):
        table = run.responses(part, columns=["row", "side", "token_ids"])
        lengths, ids = flatten_lists(table["token_ids"])
        pieces = np.split(ids.astype(np.int64), np.cumsum(lengths))[: len(lengths)]
        for row, side, piece in zip(table["row"].to_pylist(), side_indices(table).tolist(), pieces, strict=True):
            if row in index_of and side >= 0:
                responses[side][index_of[row]] = piece
    return responses[0], responses[1]
