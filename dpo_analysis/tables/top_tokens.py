"""Where the probability went at one token: the likeliest tokens under policy and reference, and what each gained."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.summaries.pair_rows import find_pair
from dpo_analysis.tables.tokens import token_words

ITSELF, KEPT, REST = "itself", "kept", "rest"
"""The response's own token; a token that was among the likeliest of either model; all the others together."""
GAIN_COLUMNS = ["kind", "token_id", "token_bytes", "text", "probability", "reference_probability", "gain"]


@dataclass(frozen=True, slots=True)
class Gains:
    """What moved at one position.

    Attributes:
        table: ``GAIN_COLUMNS``, one row per kept token, the largest gain first, and last ``REST`` (token_id -1, no
            bytes). Probabilities are shares; ``gain`` = probability - reference_probability. The gains add up to 0, as
            the rest has what is left of 1 under both models; float32 log-probs can leave it 1e-6 below 0.
        moved: all that was gained, and so all that was lost, over the whole vocabulary: a share, exact.
    """

    table: pd.DataFrame
    moved: float


def gainers(run: Run, *, pair_id: str, side: str, position: int, model: Model | str) -> Gains | None:
    """What the vocabulary gained and lost from the reference to ``model`` in front of one token.

    Args:
        run: an open run.
        pair_id: a pair of it.
        side: "chosen" or "rejected".
        position: place of the token in the response, from 0.
        model: a policy, or its key SERIES/NAME.

    Returns:
        None where no evidence ``topk`` was collected of this response under this policy.

    Raises:
        InputError: no such pair or model, or the response has no such position.
        StorageError: the evidence is damaged.
    """
    part, row = find_pair(run, pair_id)
    table = run.evidence("topk", model, part, rows=[row])
    table = table.filter(pc.and_(pc.equal(table["row"], row), pc.equal(table["side"], side)))
    if not table.num_rows or table["n_top"].null_count:
        return None
    line = table.to_pylist()[0]
    if not 0 <= position < len(line["n_top"]):
        raise InputError(
            f"no position {position} in the {side} response of pair {pair_id!r}: it has 0 to {len(line['n_top']) - 1}"
        )
    first = sum(line["n_top"][:position])
    here = slice(first, first + line["n_top"][position])
    ids, own = np.array(line["top_id"][here], dtype=np.int64), _token(run, part, row, side, position)
    shares = [np.exp(np.array(line[name][here], dtype=np.float64)) for name in ("top_logp", "top_reference_logp")]
    return Gains(_table(run, ids, own, *shares), float(line["gained"][position]))


def _token(run: Run, part: int, row: int, side: str, position: int) -> int:
    table = run.responses(part, ["row", "side", "token_ids"], [row])
    own: pa.Table = table.filter(pc.and_(pc.equal(table["row"], row), pc.equal(table["side"], side)))
    return own["token_ids"][0].as_py()[position]


def _table(run: Run, ids: np.ndarray, own: int, policy: np.ndarray, reference: np.ndarray) -> pd.DataFrame:
    token_bytes, text = token_words(run, ids)
    kept = pd.DataFrame(
        {
            "kind": np.where(ids == own, ITSELF, KEPT),
            "token_id": ids,
            "token_bytes": token_bytes,
            "text": text,
            "probability": policy,
            "reference_probability": reference,
        }
    )
    left = (1 - policy.sum(), 1 - reference.sum())
    rest = pd.DataFrame([[REST, -1, None, "", *left]], columns=kept.columns)
    kept = kept.assign(gain=policy - reference).sort_values("gain", ascending=False, kind="stable")
    rest = rest.assign(gain=-kept["gain"].sum())
    return pd.concat([kept, rest], ignore_index=True)[GAIN_COLUMNS]
