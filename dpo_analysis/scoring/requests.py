"""Requests to a model and its answers: the interface between the loop over parts and the engine, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from dpo_analysis.data.tokenization import Response
from dpo_analysis.runs import Model, Part


class Request(NamedTuple):
    """A response to score.

    Attributes:
        prompt_token_ids: token ids before it, at least one, int32, shape (prompt,).
        token_ids: token ids of the response, int32, shape (response,).
    """

    prompt_token_ids: np.ndarray
    token_ids: np.ndarray

    @property
    def n_tokens(self) -> int:
        """Tokens of prompt and response."""
        return len(self.prompt_token_ids) + len(self.token_ids)


def request_of(response: Response) -> Request:
    """Return the request to score ``response``."""
    return Request(response.prompt_token_ids, response.token_ids)


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Scores of every response token of n requests, in flat arrays: request i has offsets[i] : offsets[i + 1].

    Attributes:
        offsets: int64, shape (n + 1,).
        logp: log-prob of the token, nats, float32, shape (tokens,).
        entropy: entropy of the distribution at the token's position, nats, float32, shape (tokens,).
        argmax_logp: log-prob of the likeliest token at that position, nats, float32, shape (tokens,).
        rank: 1 + number of tokens with a higher log-prob there, int32, shape (tokens,).
        argmax_id: id of the likeliest token there, int32, shape (tokens,).
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
        """Score ``requests``, in their order, in batches of at most ``batch_tokens`` tokens.

        A request of more tokens than that is a batch by itself.

        Raises:
            MemoryError: a batch did not fit; nothing of it is left in memory.
        """
        ...


class CollectingScorer(Scorer, Protocol):
    """A scorer of one part of one model that collects evidence from the hidden states while it scores."""

    def collect(self, batch_tokens: int) -> None:
        """Collect the evidence without scoring, from the sampled pairs alone."""
        ...

    def write(self) -> None:
        """Store the evidence."""
        ...


class EvidenceCollector(Protocol):
    """Collection of evidence beside the scores, as far as the loop over parts takes part in it."""

    def missing_parts(self, model: Model) -> list[Part]:
        """Return this worker's parts that lack evidence about ``model``, in order."""
        ...

    def n_tokens(self, model: Model, part: Part) -> int:
        """Return the prompt and response tokens of a part that are read for evidence alone."""
        ...

    def prepare(self, model: Model, parts: Sequence[Part]) -> None:
        """Collect what is needed of the reference, before ``model`` is opened for ``parts``."""
        ...

    def collecting_scorer(self, scorer: Scorer, model: Model, part: Part) -> CollectingScorer | None:
        """Return a scorer that collects the evidence that this part lacks; None where it lacks none."""
        ...

    def log_cost(self, seconds: float) -> None:
        """Log how much of the ``seconds`` of the whole command the evidence took."""
        ...
