"""The requests that score a part with a model, and the table of their scores that is stored."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from dpo_analysis.runs import Part
from dpo_analysis.schema import SCORES_SCHEMA
from dpo_analysis.scoring.requests import Request, TokenScores, request_of

TOKEN_COLUMNS = ("logp", "entropy", "rank", "argmax_id", "argmax_logp")


def part_requests(part: Part) -> tuple[list[Request], list[int]]:
    """Return the requests of a part, and for each of ``part.keys`` the index of its request.

    The sides of an identical pair share one request, so that their margin is exactly 0 in any batches.
    """
    requests: list[Request] = []
    indices: list[int] = []
    for pair in part.pairs:
        for number, response in enumerate(pair.responses.values()):
            if number == 0 or pair.status != "identical":
                requests.append(request_of(response))
            indices.append(len(requests) - 1)
    return requests, indices


def part_table(part: Part, request_indices: Sequence[int], scores: TokenScores, fitted: np.ndarray) -> pa.Table:
    """Return the scores of a part in ``schema.SCORES_SCHEMA``, one row for each of ``part.keys``.

    A pair with a response that did not fit into memory has status ``oom``, and that response has no values. A pair
    with a logp that is not finite has ``nonfinite`` and keeps its values. Any other pair keeps its status.

    Args:
        part: the pairs.
        request_indices: from ``part_requests``.
        scores: scores of its requests.
        fitted: bool, shape (requests,), False for requests without scores.
    """
    indices = np.asarray(request_indices, dtype=np.int64)
    lengths = np.diff(scores.offsets)[indices]
    _check_lengths(part, lengths, fitted[indices])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    # (tokens,): index of every stored token in the flat scores
    index = np.arange(offsets[-1]) + np.repeat(scores.offsets[:-1][indices] - offsets[:-1], lengths)
    absent = pa.array(~fitted[indices])
    keys = part.keys
    columns: dict[str, pa.Array] = {
        "row": pa.array([row for row, _, _ in keys], pa.int64()),
        "pair_id": pa.array([pair_id for _, pair_id, _ in keys], pa.string()),
        "side": pa.array([side for _, _, side in keys], pa.string()),
        "status": pa.array(_statuses(part, indices, scores, fitted), pa.string()),
        "logps": pa.nulls(len(keys), pa.float64()),
    }
    for name in TOKEN_COLUMNS:
        kind = SCORES_SCHEMA.field(name).type
        values = pa.array(getattr(scores, name)[index], kind.value_type)
        columns[name] = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind, mask=absent)
    return pa.table([columns[name] for name in SCORES_SCHEMA.names], schema=SCORES_SCHEMA)


def _statuses(part: Part, indices: np.ndarray, scores: TokenScores, fitted: np.ndarray) -> list[str]:
    n_infinite = np.concatenate([[0], np.cumsum(~np.isfinite(scores.logp))])
    nonfinite = np.diff(n_infinite[scores.offsets]) > 0  # (requests,)
    statuses: list[str] = []
    for pair in part.pairs:
        of_pair = indices[len(statuses) : len(statuses) + len(pair.responses)]
        status = "oom" if not fitted[of_pair].all() else "nonfinite" if nonfinite[of_pair].any() else pair.status
        statuses += [status] * len(of_pair)
    return statuses


def _check_lengths(part: Part, lengths: np.ndarray, fitted: np.ndarray) -> None:
    expected = [len(response.token_ids) for pair in part.pairs for response in pair.responses.values()]
    wrong = np.flatnonzero((lengths != expected) & fitted)
    assert not len(wrong), f"part {part.index}: {lengths[wrong[0]]} scores for {expected[wrong[0]]} tokens"
