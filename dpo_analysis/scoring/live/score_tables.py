"""Scores of a training as the tables that a run folder stores, and as sums and differences."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from dpo_analysis.runs import Part
from dpo_analysis.scoring.live.trainer_forward import PairScores, SequenceScores, flat_scores
from dpo_analysis.scoring.part_table import part_requests, part_table


def scores_table(part: Part, scores: Sequence[SequenceScores]) -> pa.Table:
    """Return the scores of a part in ``schema.SCORES_SCHEMA``.

    Args:
        part: the pairs.
        scores: one for each of its requests, as ``part_requests`` orders them.
    """
    requests, indices = part_requests(part)
    return part_table(part, indices, flat_scores(scores), np.ones(len(requests), dtype=bool))


def scores_digest(scores: Sequence[PairScores]) -> str:
    """Return the sha256 of the log-probs of all tokens, 64 hex digits, which stands for the weights that gave them."""
    digest = hashlib.sha256()
    for pair in scores:
        for side in pair:
            digest.update(side["logp"].astype("<f4").tobytes())
    return digest.hexdigest()


def response_sums(table: pa.Table, side: str) -> np.ndarray:
    """Return the summed log-prob of each pair's response on one side, float64, (pairs,), by row.

    Args:
        table: ``schema.SCORES_SCHEMA``.
        side: chosen or rejected.
    """
    lines = sorted(
        (row, np.nan if logp is None else float(np.sum(logp, dtype=np.float64)))
        for row, name, logp in zip(*(table[key].to_pylist() for key in ("row", "side", "logp")), strict=True)
        if name == side
    )
    return np.array([value for _, value in lines])


def mean_difference(stored: pa.Table, new: pa.Table) -> float:
    """Return the mean absolute difference of the token log-probs of two scorings, nats; infinite for other tokens."""
    old, again = (
        np.concatenate([np.array(logp or [], dtype=np.float64) for logp in table["logp"].to_pylist()])
        for table in (stored, new)
    )
    return float(np.mean(np.abs(old - again))) if len(old) == len(again) else np.inf
