"""Which responses go through the model together: groups of equal prompts, in packs of a budget of tokens.

Deterministic in the requests and the budget alone, so that a resumed part is computed as an undisturbed one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpo_analysis.scoring.requests import Request


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


@dataclass(frozen=True, slots=True)
class Group:
    """Responses to one prompt; ``context``, the prompt and their common start, is computed once for all of them.

    Attributes:
        context: (context tokens,) ids.
        shared: how many of them are the responses' common start.
        members: place of each response in the list of requests.
        responses: ids of each whole response.
    """

    context: np.ndarray
    shared: int
    members: tuple[int, ...]
    responses: tuple[np.ndarray, ...]

    @property
    def cost(self) -> int:
        """Tokens that the trunk computes for this group; the last token of a response predicts nothing."""
        return len(self.context) + sum(max(0, len(ids) - 1 - self.shared) for ids in self.responses)


def common_start(responses: Sequence[np.ndarray]) -> int:
    """Number of leading tokens that all ``responses`` share."""
    first, length = responses[0], min(len(ids) for ids in responses)
    for ids in responses[1:]:
        differ = np.flatnonzero(first[:length] != ids[:length])
        length = int(differ[0]) if len(differ) else length
    return length


def group_requests(requests: Sequence[Request]) -> list[Group]:
    """Requests with equal prompts become one group, in the order in which a prompt first appears."""
    by_prompt: dict[bytes, list[int]] = {}
    for place, request in enumerate(requests):
        assert min(len(request.prompt_token_ids), len(request.token_ids)) > 0, "nothing predicts a text's first token"
        by_prompt.setdefault(_bytes(request.prompt_token_ids), []).append(place)
    groups = []
    for members in by_prompt.values():
        responses = tuple(np.asarray(requests[place].token_ids) for place in members)
        shared = common_start(responses) if len(responses) > 1 else 0
        prompt = np.asarray(requests[members[0]].prompt_token_ids)
        groups.append(Group(np.concatenate([prompt, responses[0][:shared]]), shared, tuple(members), responses))
    return groups


def packs(groups: Sequence[Group], batch_tokens: int) -> list[list[Group]]:
    """Groups in their order, in packs of at most ``batch_tokens`` trunk tokens; a larger group is a pack of its own."""
    out: list[list[Group]] = []
    filled = 0
    for group in groups:
        if not out or filled + group.cost > batch_tokens:
            out.append([])
            filled = 0
        out[-1].append(group)
        filled += group.cost
    return out
