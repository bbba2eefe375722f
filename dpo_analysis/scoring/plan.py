"""Which responses go through the model together: equal ones once, the longest first, by a budget of tokens.

Deterministic in the requests and the budget alone, so that a resumed part is computed as an undisturbed one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpo_analysis.scoring.requests import Request


class Batch(NamedTuple):
    """Requests that share one forward pass: their places among the distinct ones, and the padded width in tokens."""

    members: tuple[int, ...]
    width: int


def distinct(requests: Sequence[Request]) -> tuple[list[Request], np.ndarray]:
    """The requests without repeats, and for every request the place of its equal among them.

    A pair whose chosen and rejected tokens are equal thus has a margin of exactly 0.
    """
    places: dict[tuple[bytes, bytes], int] = {}
    kept: list[Request] = []
    inverse = np.empty(len(requests), dtype=np.int64)
    for index, request in enumerate(requests):
        key = (_bytes(request.prompt_token_ids), _bytes(request.token_ids))
        place = places.setdefault(key, len(kept))
        if place == len(kept):
            kept.append(request)
        inverse[index] = place
    return kept, inverse


def _bytes(token_ids: np.ndarray) -> bytes:
    return np.ascontiguousarray(token_ids, dtype=np.int32).tobytes()


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
