"""What a scorer is asked and what it answers: the seam between the loop over parts and the engine, without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from dpo_analysis.runs import Model, Part


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


class Gathering(Scorer, Protocol):
    """The evidence of one part of one model in the making: a scorer that looks at the states on its way."""

    def collect(self, batch_tokens: int) -> None:
        """Collect without scoring, of the pairs that are wanted alone."""
        ...

    def write(self) -> None:
        """Store what was collected."""
        ...


class Evidence(Protocol):
    """What is collected beside the scores, as far as the loop over parts knows of it."""

    def parts(self, model: Model) -> list[Part]:
        """This worker's parts of which evidence about ``model`` is missing, in order."""
        ...

    def n_tokens(self, model: Model, part: Part) -> int:
        """Prompt and response tokens of a part that are read for evidence alone."""
        ...

    def prepare(self, model: Model, parts: Sequence[Part]) -> None:
        """Have ready what the reference says, before ``model`` is opened for ``parts``."""
        ...

    def gather(self, scorer: Scorer, model: Model, part: Part) -> Gathering | None:
        """A scorer that collects what is missing of this part; None where nothing is."""
        ...

    def conclude(self, seconds: float) -> None:
        """Say what it cost, of ``seconds`` in all."""
        ...
