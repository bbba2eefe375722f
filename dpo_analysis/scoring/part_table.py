"""One part of one model: its responses as requests, and their scores as the table that is stored."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from dpo_analysis.runs import Part
from dpo_analysis.schema import SCORES_SCHEMA
from dpo_analysis.scoring.requests import Request, TokenScores

PER_TOKEN = ("logp", "entropy", "rank", "argmax_id", "argmax_logp")


def part_requests(part: Part) -> tuple[list[Request], list[int]]:
    """The responses of a part to score, and for each of ``part.keys`` the place of its own among them.

    The sides of an identical pair are one request: whatever the batches, their margin is exactly 0.
    """
    requests: list[Request] = []
    places: list[int] = []
    for pair in part.pairs:
        for number, response in enumerate(pair.responses.values()):
            if number == 0 or pair.status != "identical":
                requests.append(Request(response.prompt_token_ids, response.token_ids))
            places.append(len(requests) - 1)
    return requests, places


def part_table(part: Part, places: Sequence[int], scores: TokenScores, fitted: np.ndarray) -> pa.Table:
    """The scores of a part in ``schema.SCORES_SCHEMA``, one row for each of ``part.keys``.

    A pair with a response that did not fit into memory has status ``oom``, and that response has no values; one with
    a logp that is not finite has ``nonfinite`` and keeps its values. Otherwise the status is the pair's own.

    Args:
        part: the pairs.
        places: from ``part_requests``.
        scores: of its requests.
        fitted: bool, shape (requests,), False for those without scores.
    """
    where = np.asarray(places, dtype=np.int64)
    lengths = np.diff(scores.offsets)[where]
    _check_lengths(part, lengths, fitted[where])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    # (tokens,): the place of every stored token in the flat scores
    index = np.arange(offsets[-1]) + np.repeat(scores.offsets[:-1][where] - offsets[:-1], lengths)
    absent = pa.array(~fitted[where])
    keys = part.keys
    columns: dict[str, pa.Array] = {
        "row": pa.array([row for row, _, _ in keys], pa.int64()),
        "pair_id": pa.array([pair_id for _, pair_id, _ in keys], pa.string()),
        "side": pa.array([side for _, _, side in keys], pa.string()),
        "status": pa.array(_statuses(part, where, scores, fitted), pa.string()),
        "logps": pa.nulls(len(keys), pa.float64()),
    }
    for name in PER_TOKEN:
        kind = SCORES_SCHEMA.field(name).type
        values = pa.array(getattr(scores, name)[index], kind.value_type)
        columns[name] = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind, mask=absent)
    return pa.table([columns[name] for name in SCORES_SCHEMA.names], schema=SCORES_SCHEMA)


def _statuses(part: Part, where: np.ndarray, scores: TokenScores, fitted: np.ndarray) -> list[str]:
    bad = np.concatenate([[0], np.cumsum(~np.isfinite(scores.logp))])
    broken = np.diff(bad[scores.offsets]) > 0  # (requests,)
    statuses: list[str] = []
    for pair in part.pairs:
        own = where[len(statuses) : len(statuses) + len(pair.responses)]
        status = "oom" if not fitted[own].all() else "nonfinite" if broken[own].any() else pair.status
        statuses += [status] * len(own)
    return statuses


def _check_lengths(part: Part, lengths: np.ndarray, fitted: np.ndarray) -> None:
    wanted = [len(response.token_ids) for pair in part.pairs for response in pair.responses.values()]
    wrong = np.flatnonzero((lengths != wanted) & fitted)
    assert not len(wrong), f"part {part.index}: {lengths[wrong[0]]} scores for {wanted[wrong[0]]} tokens"
