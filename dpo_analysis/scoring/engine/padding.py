"""Right-padded batches, the longest first: for models whose rows cannot be packed.

The padding stands on the right, where causal attention never looks from a real token: neither an attention mask nor
position ids are needed, and models with absolute positions count from 0 as they did in training.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpo_analysis.scoring.requests import Request

PADDING_ID = 0


class Batch(NamedTuple):
    """Requests that share one forward pass: their indices in the list of requests, and the padded width in tokens."""

    members: tuple[int, ...]
    width: int


def input_length(request: Request) -> int:
    """Return the number of tokens that the model must read to predict the whole response: all but the last."""
    return len(request.prompt_token_ids) + len(request.token_ids) - 1


def plan_batches(requests: Sequence[Request], *, batch_tokens: int) -> list[Batch]:
    """Return batches of at most ``batch_tokens`` padded tokens; a request longer than that is a batch by itself.

    The longest come first, so that a lack of memory shows in the first batch and not after an hour.
    """
    order = sorted(range(len(requests)), key=lambda index: (-input_length(requests[index]), index))
    batches: list[Batch] = []
    start = 0
    while start < len(order):
        longest = input_length(requests[order[start]])
        stop = start + max(1, batch_tokens // max(1, longest))
        batches.append(Batch(tuple(order[start:stop]), longest))
        start = stop
    return batches


class ResponsePositions(NamedTuple):
    """Where in a batch of right-padded sequences each response token is predicted.

    Attributes:
        rows: (response tokens,) int64, the sequence of each response token.
        columns: (response tokens,) int64, the position that predicts it: one before the token.
        labels: (response tokens,) int64, the token's id.
        lengths: (sequences,) int64, response tokens of each sequence.
    """

    rows: np.ndarray
    columns: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray


def response_positions(requests: Sequence[Request]) -> ResponsePositions:
    """Return the positions of the response tokens of ``requests``, one sequence each, in their order."""
    lengths = np.array([len(request.token_ids) for request in requests], dtype=np.int64)
    firsts = [len(request.prompt_token_ids) - 1 for request in requests]
    return ResponsePositions(
        rows=np.repeat(np.arange(len(requests)), lengths),
        columns=np.concatenate([first + np.arange(n) for first, n in zip(firsts, lengths, strict=True)]),
        labels=np.concatenate([np.asarray(request.token_ids, dtype=np.int64) for request in requests]),
        lengths=lengths,
    )


def pad_inputs(requests: Sequence[Request], width: int) -> np.ndarray:
    """Return the ids that the model reads, (requests, width) int64, right-padded with ``PADDING_ID``."""
    input_ids = np.full((len(requests), width), PADDING_ID, dtype=np.int64)
    for row, request in zip(input_ids, requests, strict=True):
        assert len(request.prompt_token_ids), "nothing predicts the first token of a text"
        row[: input_length(request)] = np.concatenate([request.prompt_token_ids, request.token_ids[:-1]])
    return input_ids
