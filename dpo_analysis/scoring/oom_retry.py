"""Scoring in the memory there is: the whole list at half the budget, and half again, then halves of the list."""

from collections.abc import Iterator, Sequence

import numpy as np

from dpo_analysis.scoring.requests import Request, Scorer, TokenScores


def score_fitting(
    scorer: Scorer, requests: Sequence[Request], batch_tokens: int
) -> tuple[TokenScores, np.ndarray, int]:
    """Score ``requests``; those that do not fit into memory even alone get no tokens.

    Args:
        scorer: the model.
        requests: what to score.
        batch_tokens: the budget to begin with; halved until every batch fits or holds one of the longest alone.

    Returns:
        The scores, in order; bool of shape (requests,), False where one did not fit; the last budget tried.
    """
    longest = max((request.n_tokens for request in requests), default=0)
    budget = batch_tokens
    while (scores := _attempt(scorer, requests, budget)) is None and budget > longest:
        budget //= 2
    if scores is not None:
        return scores, np.ones(len(requests), dtype=bool), budget
    pieces = list(_in_halves(scorer, requests, budget))
    return _joined(pieces), np.concatenate([[piece is not None] * n for n, piece in pieces]).astype(bool), budget


def _attempt(scorer: Scorer, requests: Sequence[Request], budget: int) -> TokenScores | None:
    """The scores, or None for lack of memory; by then the error, and what its traceback held, is gone."""
    try:
        return scorer.score(requests, batch_tokens=budget)
    except MemoryError:
        return None


def _in_halves(scorer: Scorer, requests: Sequence[Request], budget: int) -> Iterator[tuple[int, TokenScores | None]]:
    """Number of requests and their scores, piece by piece; a single request that does not fit has None."""
    scores = _attempt(scorer, requests, budget)
    if scores is not None or len(requests) <= 1:
        yield len(requests), scores
        return
    middle = len(requests) // 2
    yield from _in_halves(scorer, requests[:middle], budget)
    yield from _in_halves(scorer, requests[middle:], budget)


def _joined(pieces: Sequence[tuple[int, TokenScores | None]]) -> TokenScores:
    lengths = [np.diff(piece.offsets) if piece else np.zeros(n, np.int64) for n, piece in pieces]
    there = [piece for _, piece in pieces if piece is not None]

    def flat(name: str, dtype: type) -> np.ndarray:
        return np.concatenate([np.zeros(0, dtype), *(getattr(piece, name) for piece in there)])

    return TokenScores(
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
        logp=flat("logp", np.float32),
        entropy=flat("entropy", np.float32),
        argmax_logp=flat("argmax_logp", np.float32),
        rank=flat("rank", np.int32),
        argmax_id=flat("argmax_id", np.int32),
    )
