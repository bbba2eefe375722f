"""Both replies to a prompt in one row: what they begin with alike is computed once, then the row forks.

[prompt and common beginning][rest of the chosen][rest of the rejected], where the second rest does not see the first.
A third fewer tokens than two rows of their own, with the same log-probs (a test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.planted.sequences import Logps

SHARED, PADDING = 0, 3
"""Segments of a row; 1 and 2 are the rests of chosen and rejected."""
Side = tuple[list[int], list[int]]
"""Ids of the prompt and of the response."""


@dataclass(frozen=True, slots=True)
class Fork:
    """One pair as a row.

    Attributes:
        ids: of the row, shape (tokens,).
        segments: of every token, shape (tokens,).
        positions: of every token in its own reply, shape (tokens,).
        sources: for chosen and rejected, where in the row each response token is predicted.
        targets: for chosen and rejected, the response's ids.
    """

    ids: Tensor
    segments: Tensor
    positions: Tensor
    sources: tuple[Tensor, Tensor]
    targets: tuple[Tensor, Tensor]

    @classmethod
    def of_pair(cls, chosen: Side, rejected: Side) -> Fork:
        """From both sides, whose prompts are the same ids."""
        prompt, responses = chosen[0], (chosen[1], rejected[1])
        assert prompt == rejected[0], "the prompts of both sides differ"
        alike = next((n for n, (a, b) in enumerate(zip(*responses, strict=False)) if a != b), min(map(len, responses)))
        shared = len(prompt) + alike
        rests = [response[alike:] for response in responses]
        sources, start = [], shared
        for rest in rests:
            inside = range(start, start + len(rest) - 1)
            sources.append(torch.tensor([*range(len(prompt) - 1, shared - 1 + bool(rest)), *inside]))
            start += len(rest)
        return cls(
            ids=torch.tensor(prompt + responses[0][:alike] + rests[0] + rests[1]),
            segments=torch.tensor([SHARED] * shared + [1] * len(rests[0]) + [2] * len(rests[1])),
            positions=torch.tensor([*range(shared), *(shared + n for rest in rests for n in range(len(rest)))]),
            sources=(sources[0], sources[1]),
            targets=(torch.tensor(responses[0]), torch.tensor(responses[1])),
        )


def fork_logps(model: Any, forks: Sequence[Fork]) -> Logps:
    """Log-probs of all response tokens: rows 0 to n - 1 are the chosen ones, n to 2 n - 1 the rejected ones."""
    ids, segments, positions = (
        torch.nn.utils.rnn.pad_sequence([getattr(one, name) for one in forks], batch_first=True, padding_value=filler)
        for name, filler in (("ids", 0), ("segments", PADDING), ("positions", 0))
    )
    own = segments[:, None, :] == segments[:, :, None]
    seen = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril() & (own | (segments[:, None, :] == SHARED))
    hidden = model.model(
        input_ids=ids, position_ids=positions, attention_mask=seen[:, None], use_cache=False
    ).last_hidden_state
    lengths = torch.tensor([len(one.targets[side]) for side in (0, 1) for one in forks])
    row = torch.repeat_interleave(torch.arange(2 * len(forks)), lengths)
    source = torch.cat([one.sources[side] for side in (0, 1) for one in forks])
    target = torch.cat([one.targets[side] for side in (0, 1) for one in forks])
    logits = model.lm_head(hidden[row % len(forks), source])
    return Logps(-torch.nn.functional.cross_entropy(logits, target, reduction="none"), row, 2 * len(forks))
