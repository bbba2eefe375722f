"""The most likely tokens under policy and reference at a position, and how much probability each gained."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.vocabulary import read_vocabulary
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import compute as pc
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.text.token_text import is_whole_text

ITSELF, TOP, REST = "itself", "kept", "rest"
"""Kinds of rows: the token of the response; another token among the most likely of either model; all other tokens
together."""
TOP_TOKEN_COLUMNS = ["kind", "token_id", "token_bytes", "text", "probability", "reference_probability", "gain"]


@dataclass(frozen=True, slots=True)
class TopTokens:
    """How the distribution of the next token changed at a position.

    Attributes:
        table: ``TOP_TOKEN_COLUMNS``, one row per top token, the largest gain first, and last ``REST`` (token_id -1, no
            bytes). Probabilities are shares; ``gain`` = probability - reference_probability. The gains add up to 0, as
            the rest has the remainder to 1 under both models; float32 log-probs can leave it 1e-6 below 0.
        moved: the probability that was gained, and so that was lost, over the whole vocabulary: a share, exact.
    """

    table: pd.DataFrame
    moved: float


def top_tokens(run: Run, *, pair_id: str, side: str, position: int, model: Model | str) -> TopTokens | None:
    """Return what each top token gained from the reference to ``model`` at the position of a token.

    Args:
        run: an open run.
        pair_id: a pair of the run.
        side: "chosen" or "rejected".
        position: position of the token in the response, from 0.
        model: a policy, or its key SERIES/NAME.

    Returns:
        None where no evidence ``topk`` was collected for this response under this policy.

    Raises:
        InputError: no such pair or model, or the response has no such position.
        StorageError: the evidence is damaged.
    """
    part, row = find_pair(run, pair_id)
    table = _responses(run.evidence("topk", model, part, rows=[row]), row, side)
    if not table.num_rows or table["n_top"].null_count:
        return None
    evidence = table.to_pylist()[0]
    n_top = evidence["n_top"]
    if not 0 <= position < len(n_top):
        raise InputError(
            f"no position {position} in the {side} response of pair {pair_id!r}: it has 0 to {len(n_top) - 1}"
        )
    first = sum(n_top[:position])
    at_position = slice(first, first + n_top[position])
    ids = np.array(evidence["top_id"][at_position], dtype=np.int64)
    policy, reference = (
        np.exp(np.array(evidence[name][at_position], dtype=np.float64)) for name in ("top_logp", "top_reference_logp")
    )
    response = _responses(run.responses(part, ["row", "side", "token_ids"], [row]), row, side)
    token_id = response["token_ids"][0].as_py()[position]
    return TopTokens(_table(run, ids, token_id, policy, reference), float(evidence["gained"][position]))


def without_fragments(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``TopTokens.table`` with other tokens that are parts of a character counted among all other tokens."""
    is_fragment = (table["kind"] == TOP) & ~table["token_bytes"].map(is_whole_text).astype(bool)
    numbers = ["probability", "reference_probability", "gain"]
    kept = table[~is_fragment].copy()
    kept.loc[kept["kind"] == REST, numbers] += table.loc[is_fragment, numbers].sum()
    return kept


def _responses(table: pa.Table, row: int, side: str) -> pa.Table:
    return table.filter(pc.and_(pc.equal(table["row"], row), pc.equal(table["side"], side)))


def _table(run: Run, ids: NDArray, token_id: int, policy: NDArray, reference: NDArray) -> pd.DataFrame:
    """Return ``TopTokens.table`` from the probabilities of the top tokens under both models, shape (top tokens,)."""
    token_bytes, text = read_vocabulary(run).bytes_and_texts(ids)
    rows = pd.DataFrame(
        {
            "kind": np.where(ids == token_id, ITSELF, TOP),
            "token_id": ids,
            "token_bytes": token_bytes,
            "text": text,
            "probability": policy,
            "reference_probability": reference,
        }
    )
    remainders = (1 - policy.sum(), 1 - reference.sum())
    rest = pd.DataFrame([[REST, -1, None, "", *remainders]], columns=rows.columns)
    rows = rows.assign(gain=policy - reference).sort_values("gain", ascending=False, kind="stable")
    rest = rest.assign(gain=-rows["gain"].sum())
    return pd.concat([rows, rest], ignore_index=True)[TOP_TOKEN_COLUMNS]
