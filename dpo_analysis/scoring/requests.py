"""What a scorer is asked and what it answers: the seam between the loop over parts and the engine, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np


class Request(NamedTuple):
    """One response to score: ids before it, at least one, and its own ids, int32, shapes (prompt,) and (response,)."""

    prompt_token_ids: np.ndarray
    token_ids: np.ndarray

    @property
    def n_tokens(self) -> int:
        """Tokens of prompt and response."""
        return len(self.prompt_token_ids) + len(self.token_ids)


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What a model says about every response token of n requests, flat: request i owns offsets[i] : offsets[i + 1].

    Attributes:
        offsets: int64, shape (n + 1,).
        logp: log-prob of the token, nats, float32, shape (tokens,).
        entropy: of the distribution it was drawn from, nats, float32, shape (tokens,).
        argmax_logp: log-prob of the likeliest token there, nats, float32, shape (tokens,).
        rank: 1 + entries with a higher log-prob, int32, shape (tokens,).
        argmax_id: the likeliest token, int32, shape (tokens,).
    """

    offsets: np.ndarray
    logp: np.ndarray
    entropy: np.ndarray
    argmax_logp: np.ndarray
    rank: np.ndarray
    argmax_id: np.ndarray


class Scorer(Protocol):
    """A model that is ready to score."""

    def score(self, requests: Sequence[Request], *, batch_tokens: int) -> TokenScores:
        """Score ``requests``, in their order, in batches of at most ``batch_tokens`` tokens (a longer one alone).

        Raises:
            MemoryError: a batch did not fit; nothing of it is left in memory.
        """
        ...
