"""What is known of every pair before any model has seen it: the question in short, its responses' ends and cells."""

import json

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.runs.list_columns import lists, side_places
from dpo_analysis.runs.summaries.region_sums import counts_of, tokens_of
from dpo_analysis.schema import FACTS_SCHEMA, SIDES
from dpo_analysis.text.duplicates import text_keys
from dpo_analysis.text.token_types import Entries

PAIR_COLUMNS, RESPONSE_COLUMNS = (
    ("row", "prompt", "chosen", "rejected", "source"),
    ("row", "side", "prompt_token_ids", "token_ids", "truncated"),
)
QUESTION_LETTERS = 200
"""How much of a question is kept: it names a pair on one line."""
TAIL = 3
"""How many tokens at a response's end are looked at: two ends of text may have ChatML's newline between them."""


def facts_of(pairs: pa.Table, responses: pa.Table, entries: Entries) -> pa.Table:
    """One line per pair in ``FACTS_SCHEMA``.

    Args:
        pairs: ``PAIRS_SCHEMA``, of which ``PAIR_COLUMNS`` are read.
        responses: ``RESPONSES_SCHEMA``, of which ``RESPONSE_COLUMNS`` are read.
        entries: what the vocabulary says.
    """
    rows = pairs["row"].to_numpy()
    asked = zip(pairs["source"].to_pylist(), pairs["prompt"].to_pylist(), strict=True)
    columns: dict[str, pa.Array] = {"row": pa.array(rows)}
    columns["question"] = pa.array([(question(source) or prompt or "")[:QUESTION_LETTERS] for source, prompt in asked])
    for side in SIDES:
        columns[f"{side}_key"] = pa.array(text_keys(pairs[side].to_pylist()), pa.int64())
    ends = _ends_of(responses, entries)
    place, side_of = np.searchsorted(rows, responses["row"].to_numpy()), side_places(responses)
    for name in ("ends_with_eos", "double_eos", "truncated"):
        for index, of in enumerate(SIDES):
            columns[f"{of}_{name}"] = _flags(ends[name], place[side_of == index], side_of == index, len(rows))
    twice = np.zeros(len(rows), dtype=bool)
    np.logical_or.at(twice, place, ends["double_bos"])
    columns["double_bos"] = pa.array(twice, mask=~np.isin(np.arange(len(rows)), place))
    tokens = tokens_of(responses, entries)
    known = np.searchsorted(rows, tokens.rows)
    for name, counts in counts_of(tokens).items():
        whole, missing = np.zeros(len(rows), dtype=np.int32), np.ones(len(rows), dtype=bool)
        whole[known], missing[known] = counts, False
        columns[name] = pa.array(whole, mask=missing)
    return pa.table([columns[name] for name in FACTS_SCHEMA.names], schema=FACTS_SCHEMA)


def question(source: str | None) -> str:
    """What was asked, from the row as it was read; empty where the row has no prompt of its own."""
    row = json.loads(source or "{}")
    asked = row.get("prompt") if isinstance(row, dict) else None
    last = asked[-1] if isinstance(asked, list) and asked else asked
    content = last.get("content") if isinstance(last, dict) else last
    return content if isinstance(content, str) else ""


def _ends_of(responses: pa.Table, entries: Entries) -> dict[str, NDArray[np.bool_] | None]:
    """How every response begins and ends, each of shape (responses,); None where no vocabulary says what an end is."""
    ends, first = _last(responses["token_ids"], TAIL), _first(responses["prompt_token_ids"], 2)
    is_end = entries.is_special(ends)
    return {
        "ends_with_eos": is_end[:, -2:].any(axis=1) if entries.special.any() else None,
        "double_eos": _twice(ends, is_end),
        "truncated": responses["truncated"].to_numpy(zero_copy_only=False).astype(bool),
        "double_bos": (first[:, 0] == first[:, 1]) & entries.is_special(first[:, 0]),
    }


def _flags(values: NDArray[np.bool_] | None, place: NDArray, own: NDArray[np.bool_], n_pairs: int) -> pa.Array:
    if values is None:
        return pa.nulls(n_pairs, pa.bool_())
    flags, missing = np.zeros(n_pairs, dtype=bool), np.ones(n_pairs, dtype=bool)
    flags[place], missing[place] = values[own], False
    return pa.array(flags, mask=missing)


def _twice(ends: NDArray, is_end: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Two equal ends of text in a row, or with one other token between them."""
    neighbours = is_end[:, 1] & (ends[:, 1] == ends[:, 2])
    return neighbours | (is_end[:, 0] & ~is_end[:, 1] & (ends[:, 0] == ends[:, 2]))


def _last(column: pa.ChunkedArray, count: int) -> NDArray[np.int64]:
    """The last ``count`` ids of every list, shape (rows, count); negative, each another, where it is shorter."""
    lengths, values = lists(column)
    back = np.arange(count, 0, -1)
    place = np.cumsum(lengths)[:, None] - back
    return np.where(back <= lengths[:, None], np.append(values, 0)[np.clip(place, 0, len(values))], -back)


def _first(column: pa.ChunkedArray, count: int) -> NDArray[np.int64]:
    """The first ``count`` ids of every list, shape (rows, count); negative, each another, where it is shorter."""
    lengths, values = lists(column)
    ahead = np.arange(count)
    place = (np.cumsum(lengths) - lengths)[:, None] + ahead
    return np.where(ahead < lengths[:, None], np.append(values, 0)[np.clip(place, 0, len(values))], -1 - ahead)
