"""Which responses go through the model together: groups of equal prompts, in packs of a budget of tokens.

The packs depend on the requests and the budget alone, so that a resumed part is computed as an undisturbed one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dpo_analysis.scoring.requests import Request


def deduplicate(requests: Sequence[Request]) -> tuple[list[Request], np.ndarray]:
    """Return the requests without repeats, and for every request the index of its equal among them.

    A pair whose chosen and rejected tokens are equal thus has a margin of exactly 0.

    Returns:
        The distinct requests in the order of their first appearance; indices, int64, shape (requests,).
    """
    places: dict[tuple[bytes, bytes], int] = {}
    unique: list[Request] = []
    inverse = np.empty(len(requests), dtype=np.int64)
    for index, request in enumerate(requests):
        key = (_id_bytes(request.prompt_token_ids), _id_bytes(request.token_ids))
        place = places.setdefault(key, len(unique))
        if place == len(unique):
            unique.append(request)
        inverse[index] = place
    return unique, inverse


def _id_bytes(token_ids: np.ndarray) -> bytes:
    return np.ascontiguousarray(token_ids, dtype=np.int32).tobytes()


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """Responses to one prompt; the prompt and the responses' common prefix are computed once for all of them.

    Attributes:
        context: ids of the prompt and of the common prefix, shape (context tokens,).
        n_shared: how many of them are the common prefix.
        members: index of each response in the list of requests.
        responses: ids of each whole response, shape (response tokens,).
    """

    context: np.ndarray
    n_shared: int
    members: tuple[int, ...]
    responses: tuple[np.ndarray, ...]

    @property
    def n_computed(self) -> int:
        """Tokens that the trunk computes for this group; the last token of a response predicts nothing."""
        return len(self.context) + sum(max(0, len(ids) - 1 - self.n_shared) for ids in self.responses)


def common_prefix_length(responses: Sequence[np.ndarray]) -> int:
    """Return the number of leading tokens that all ``responses`` share."""
    first, length = responses[0], min(len(ids) for ids in responses)
    for ids in responses[1:]:
        different = np.flatnonzero(first[:length] != ids[:length])
        length = int(different[0]) if len(different) else length
    return length


def group_by_prompt(requests: Sequence[Request]) -> list[PromptGroup]:
    """Return one group for each distinct prompt, in the order in which the prompts first appear."""
    by_prompt: dict[bytes, list[int]] = {}
    for index, request in enumerate(requests):
        assert min(len(request.prompt_token_ids), len(request.token_ids)) > 0, "nothing predicts a text's first token"
        by_prompt.setdefault(_id_bytes(request.prompt_token_ids), []).append(index)
    groups = []
    for members in by_prompt.values():
        responses = tuple(np.asarray(requests[index].token_ids) for index in members)
        # a lone response shares nothing: all of it would be context, and its last token is not computed
        n_shared = common_prefix_length(responses) if len(members) > 1 else 0
        prompt = np.asarray(requests[members[0]].prompt_token_ids)
        context = np.concatenate([prompt, responses[0][:n_shared]])
        groups.append(PromptGroup(context, n_shared, tuple(members), responses))
    return groups


def make_packs(groups: Sequence[PromptGroup], batch_tokens: int) -> list[list[PromptGroup]]:
    """Return the groups in their order, in packs of at most ``batch_tokens`` computed tokens.

    A group that exceeds the budget is a pack by itself.
    """
    packs: list[list[PromptGroup]] = []
    filled = 0
    for group in groups:
        if not packs or filled + group.n_computed > batch_tokens:
            packs.append([])
            filled = 0
        packs[-1].append(group)
        filled += group.n_computed
    return packs
