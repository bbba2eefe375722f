"""One line per pair of a run about its tokens: the frame that ``check`` makes before any run exists, made from one."""

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.runs import Run
from dpo_analysis.schema import SIDES
from dpo_analysis.segments import lists, side_places
from dpo_analysis.sums import inputs

REPEATED = r"[0-9a-f]{16}-\d+"
"""The pair_id of a row that repeats an earlier one."""
TAIL = 3
"""How many tokens at a response's end are looked at: two ends of text may have ChatML's newline between them."""


def rows_of_run(run: Run) -> pd.DataFrame:
    """What ``dpo_analysis.data.complaints`` asks for, as far as a run folder tells; the same columns.

    ``where`` is the pair_id, and ``border_shift`` 0: whether the border moved is known only while text becomes tokens.

    Raises:
        StorageError: a part is damaged.
    """
    rows = inputs(run).pairs[["pair_id", "group_id", "split", "status"]].copy()
    rows["where"], rows["reason"], rows["border_shift"] = rows["pair_id"], "", 0
    rows["duplicate"] = rows["pair_id"].str.fullmatch(REPEATED)
    rows["splits_of_prompt"] = rows.groupby("group_id")["split"].transform("nunique")
    found = [_responses(run, part) for part in range(run.n_parts)]
    facts = pd.concat(found, ignore_index=True)
    double_bos = facts.groupby("pair_id")["double_bos"].any()
    rows["double_bos"] = rows["pair_id"].map(double_bos).fillna(False).astype(bool)
    for place, side in enumerate(SIDES):
        own = facts[facts["side"] == place].drop(columns=["side", "double_bos"]).add_prefix(f"{side}_")
        rows = rows.merge(own, left_on="pair_id", right_on=f"{side}_pair_id", how="left")
    return rows.drop(columns=[f"{side}_pair_id" for side in SIDES])


def _responses(run: Run, part: int) -> pd.DataFrame:
    table = run.responses(part, columns=["pair_id", "side", "prompt_token_ids", "token_ids", "truncated"])
    special = _special_ids(run.vocab())
    ends = _ends(table["token_ids"], TAIL)
    first = _starts(table["prompt_token_ids"], 2)
    is_end = np.isin(ends, special)
    return pd.DataFrame(
        {
            "pair_id": table["pair_id"].to_pandas(),
            "side": side_places(table),
            "n_tokens": lists(table["token_ids"])[0],
            "ends_with_eos": is_end[:, -2:].any(axis=1) if len(special) else None,
            "double_eos": _twice(ends, is_end),
            "truncated": table["truncated"].to_pandas(),
            "double_bos": (first[:, 0] == first[:, 1]) & np.isin(first[:, 0], special),
        }
    )


def _special_ids(vocab: pa.Table | None) -> NDArray:
    if vocab is None:
        return np.zeros(0, dtype=np.int64)
    return vocab["token_id"].to_numpy()[vocab["special"].to_numpy()]


def _twice(ends: NDArray, is_end: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Two equal ends of text in a row, or with one other token between them."""
    neighbours = is_end[:, 1] & (ends[:, 1] == ends[:, 2])
    return neighbours | (is_end[:, 0] & ~is_end[:, 1] & (ends[:, 0] == ends[:, 2]))


def _ends(column: pa.ChunkedArray, count: int) -> NDArray[np.int64]:
    """The last ``count`` ids of every list, shape (rows, count); negative, each another, where it is shorter."""
    lengths, values = lists(column)
    back = np.arange(count, 0, -1)
    place = np.cumsum(lengths)[:, None] - back
    return np.where(back <= lengths[:, None], np.append(values, 0)[np.clip(place, 0, len(values))], -back)


def _starts(column: pa.ChunkedArray, count: int) -> NDArray[np.int64]:
    """The first ``count`` ids of every list, shape (rows, count); negative, each another, where it is shorter."""
    lengths, values = lists(column)
    ahead = np.arange(count)
    place = (np.cumsum(lengths) - lengths)[:, None] + ahead
    return np.where(ahead < lengths[:, None], np.append(values, 0)[np.clip(place, 0, len(values))], -1 - ahead)
