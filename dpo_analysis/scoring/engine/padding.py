"""The fallback for models whose rows cannot be packed: right-padded batches, the longest first.

Padding stands on the right, where causal attention never looks from a real token: neither an attention mask nor
position ids are needed, and models with absolute positions count from 0 as they did in training.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpo_analysis.scoring.requests import Request

PADDING_ID = 0


class Batch(NamedTuple):
    """Requests that share one forward pass: their places among the distinct ones, and the padded width in tokens."""

    members: tuple[int, ...]
    width: int


def width(request: Request) -> int:
    """Tokens that the model must read to predict the whole response: all but the last."""
    return len(request.prompt_token_ids) + len(request.token_ids) - 1


def plan_batches(requests: Sequence[Request], *, batch_tokens: int) -> list[Batch]:
    """Batches of at most ``batch_tokens`` padded tokens, longest first: if memory is short, the first one says so.

    A request longer than the budget is a batch of its own.
    """
    order = sorted(range(len(requests)), key=lambda index: (-width(requests[index]), index))
    batches: list[Batch] = []
    start = 0
    while start < len(order):
        longest = width(requests[order[start]])
        stop = start + max(1, batch_tokens // max(1, longest))
        batches.append(Batch(tuple(order[start:stop]), longest))
        start = stop
    return batches


class Padded(NamedTuple):
    """One batch, ready for the model.

    Attributes:
        input_ids: (sequences, width) int64.
        rows: (response tokens,) int64, which sequence predicts each response token.
        columns: (response tokens,) int64, at which position: one before the token.
        labels: (response tokens,) int64, the token.
        lengths: (sequences,) int64, response tokens of each member, in the batch's order.
    """

    input_ids: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray


def pad(requests: Sequence[Request], batch: Batch) -> Padded:
    """The arrays of ``batch``, its members among ``requests``."""
    members = [requests[index] for index in batch.members]
    input_ids = np.full((len(members), batch.width), PADDING_ID, dtype=np.int64)
    for row, request in enumerate(members):
        assert len(request.prompt_token_ids), "nothing predicts the first token of a text"
        input_ids[row, : width(request)] = np.concatenate([request.prompt_token_ids, request.token_ids[:-1]])
    lengths = np.array([len(request.token_ids) for request in members], dtype=np.int64)
    first = [len(request.prompt_token_ids) - 1 for request in members]
    return Padded(
        input_ids=input_ids,
        rows=np.repeat(np.arange(len(members)), lengths),
        columns=np.concatenate([start + np.arange(n) for start, n in zip(first, lengths, strict=True)]),
        labels=np.concatenate([np.asarray(request.token_ids, dtype=np.int64) for request in members]),
        lengths=lengths,
    )
