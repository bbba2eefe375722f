"""Facts of every pair that depend on no model: the prompt in short, the ends of its responses, tokens by region."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.data.pairs import pairs_of_values
from dpo_analysis.errors import InputError
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.runs.parts import source_row
from dpo_analysis.runs.summaries.region_sums import count_by_region, pair_tokens
from dpo_analysis.schema import PAIR_FACTS_SCHEMA, SIDES
from dpo_analysis.text.duplicates import text_keys
from dpo_analysis.text.token_types import TokenTypes

Mask = NDArray[np.bool_]
PAIR_COLUMNS = ("row", "prompt", "chosen", "rejected", "source")
RESPONSE_COLUMNS = ("row", "side", "prompt_token_ids", "token_ids", "truncated")
"""The columns of pairs and responses that are read."""
PROMPT_LETTERS = 200
"""Letters of a prompt that are stored: enough to recognize a pair by."""
TAIL_TOKENS = 3
"""Tokens at the end of a response that are read: two ends of text may have ChatML's newline between them."""


class _ResponseEnds(NamedTuple):
    """How every response begins and ends, each of shape (responses,); None where no vocabulary tells the ends of text.

    Attributes:
        ends_with_eos: the last token or the one before it is a special token.
        double_eos: it ends with the same special token twice.
        truncated: it was cut at max_length.
        double_bos: the prompt begins with the same special token twice.
    """

    ends_with_eos: Mask | None
    double_eos: Mask
    truncated: Mask
    double_bos: Mask


def pair_facts_table(pairs: pa.Table, responses: pa.Table, token_types: TokenTypes) -> pa.Table:
    """Return the facts of every pair in ``PAIR_FACTS_SCHEMA``, a row per pair.

    Args:
        pairs: ``PAIRS_SCHEMA``, of which ``PAIR_COLUMNS`` are read.
        responses: ``RESPONSES_SCHEMA``, of which ``RESPONSE_COLUMNS`` are read.
        token_types: the types of all entries of the vocabulary.
    """
    rows = pairs["row"].to_numpy()
    sources = zip(pairs["source"].to_pylist(), pairs["prompt"].to_pylist(), strict=True)
    columns: dict[str, pa.Array] = {"row": pa.array(rows)}
    columns["question"] = pa.array(
        [(last_message(source) or prompt or "")[:PROMPT_LETTERS] for source, prompt in sources]
    )
    for side in SIDES:
        columns[f"{side}_key"] = pa.array(text_keys(pairs[side].to_pylist()), pa.int64())
    ends = _response_ends(responses, token_types)
    pair, side_of = np.searchsorted(rows, responses["row"].to_numpy()), side_indices(responses)
    for name in ("ends_with_eos", "double_eos", "truncated"):
        values: Mask | None = getattr(ends, name)
        for index, side in enumerate(SIDES):
            of_side = side_of == index
            columns[f"{side}_{name}"] = _bool_column(
                None if values is None else values[of_side], pair[of_side], len(rows)
            )
    double_bos = np.zeros(len(rows), dtype=bool)
    np.logical_or.at(double_bos, pair, ends.double_bos)
    columns["double_bos"] = pa.array(double_bos, mask=~np.isin(np.arange(len(rows)), pair))
    tokens = pair_tokens(responses, token_types)
    pair_of_tokens = np.searchsorted(rows, tokens.rows)
    for name, counts in count_by_region(tokens).items():
        column, missing = np.zeros(len(rows), dtype=np.int32), np.ones(len(rows), dtype=bool)
        column[pair_of_tokens], missing[pair_of_tokens] = counts, False
        columns[name] = pa.array(column, mask=missing)
    return pa.table([columns[name] for name in PAIR_FACTS_SCHEMA.names], schema=PAIR_FACTS_SCHEMA)


def last_message(source: str | None) -> str:
    """Return the last message of the prompt of a row, or its whole prompt if that is a text; empty without a prompt.

    Args:
        source: the row as it was read, JSON.
    """
    row = source_row(source)
    prompt = row.get("prompt") if isinstance(row, dict) else None
    if prompt is None and isinstance(row, dict):
        prompt = _prompt_of_shape(row)
    last = prompt[-1] if isinstance(prompt, list) and prompt else prompt
    content = last.get("content") if isinstance(last, dict) else last
    return content if isinstance(content, str) else ""


def _prompt_of_shape(row: dict[str, Any]) -> Any:
    """Return the prompt of a row that has it in a column of another name; None where no shape of rows is known."""
    try:
        pairs = pairs_of_values(row)
    except InputError:
        return None
    return pairs[0].prompt if pairs else None


def _response_ends(responses: pa.Table, token_types: TokenTypes) -> _ResponseEnds:
    tail, head = _last_ids(responses["token_ids"], TAIL_TOKENS), _first_ids(responses["prompt_token_ids"], 2)
    is_end = token_types.is_special(tail)
    return _ResponseEnds(
        ends_with_eos=is_end[:, -2] | is_end[:, -1] if token_types.special.any() else None,
        double_eos=_ends_twice(tail, is_end),
        truncated=responses["truncated"].to_numpy(zero_copy_only=False).astype(bool),
        double_bos=(head[:, 0] == head[:, 1]) & token_types.is_special(head[:, 0]),
    )


def _bool_column(values: Mask | None, pair: NDArray, n_pairs: int) -> pa.Array:
    """Return ``values``, one for each index in ``pair``, as a column of all pairs; null for the other pairs."""
    if values is None:
        return pa.nulls(n_pairs, pa.bool_())
    column, missing = np.zeros(n_pairs, dtype=bool), np.ones(n_pairs, dtype=bool)
    column[pair], missing[pair] = values, False
    return pa.array(column, mask=missing)


def _ends_twice(tail: NDArray, is_end: Mask) -> Mask:
    """Return which responses end with the same end of text twice, with at most one other token in between.

    Args:
        tail: the last token ids, shape (responses, ``TAIL_TOKENS``).
        is_end: which of them are ends of text, same shape.
    """
    neighbours = is_end[:, 1] & (tail[:, 1] == tail[:, 2])
    return neighbours | (is_end[:, 0] & ~is_end[:, 1] & (tail[:, 0] == tail[:, 2]))


def _last_ids(column: pa.ChunkedArray, count: int) -> NDArray[np.int64]:
    """Return the last ``count`` ids of every list, shape (rows, count); a shorter list has distinct negative ids."""
    lengths, values = flatten_lists(column)
    back = np.arange(count, 0, -1)
    index = np.cumsum(lengths)[:, None] - back
    return np.where(back <= lengths[:, None], np.append(values, 0)[np.clip(index, 0, len(values))], -back)


def _first_ids(column: pa.ChunkedArray, count: int) -> NDArray[np.int64]:
    """Return the first ``count`` ids of every list, as ``_last_ids`` does."""
    lengths, values = flatten_lists(column)
    ahead = np.arange(count)
    index = (np.cumsum(lengths) - lengths)[:, None] + ahead
    return np.where(ahead < lengths[:, None], np.append(values, 0)[np.clip(index, 0, len(values))], -1 - ahead)
