"""The tokens of one part under several models, laid over each other: the same responses, the same places."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.schema import SIDES

Ints = NDArray[np.int64]


class Side(NamedTuple):
    """One side of some pairs of a part, one response behind the other.

    Attributes:
        pair: the place of each response's pair among the rows asked for, shape (responses,).
        lengths: tokens of each response, shape (responses,).
        token_ids: shape (tokens,).
        logps: for every model its log-probs, nats, each of shape (tokens,).
    """

    pair: Ints
    lengths: Ints
    token_ids: Ints
    logps: list[NDArray]


def aligned_sides(run: Run, part: int, models: Sequence[Model], rows: Ints) -> list[Side] | None:
    """Chosen and rejected of the pairs in ``rows`` (sorted) that lie in ``part``; None where a model lacks tokens.

    Raises:
        StorageError: the part is damaged.
    """
    ids = run.responses(part, columns=["row", "side", "token_ids"])
    tables = [ids, *(run.scores(model, part, columns=["row", "side", "logp"]) for model in models)]
    found = [_side(tables, side, rows) for side in range(len(SIDES))]
    return None if any(one is None for one in found) else [one for one in found if one is not None]


def _side(tables: list[pa.Table], side: int, rows: Ints) -> Side | None:
    (row, lengths, token_ids), *scored = (_flat(table, side, rows) for table in tables)
    if not all(np.array_equal(row, other[0]) and np.array_equal(lengths, other[1]) for other in scored):
        return None
    return Side(np.searchsorted(rows, row), lengths, token_ids.astype(np.int64), [other[2] for other in scored])


def _flat(table: pa.Table, side: int, rows: Ints) -> tuple[Ints, Ints, NDArray]:
    """Rows, lengths and values of one side of a table whose last column is the list, by row."""
    kept = (side_places(table) == side) & np.isin(table["row"].to_numpy(), rows)
    own = table.filter(pa.array(kept))
    order = np.argsort(own["row"].to_numpy(), kind="stable")
    own = own if (np.diff(order) == 1).all() else own.take(pa.array(order))
    return own["row"].to_numpy(), *lists(own[own.column_names[-1]])
