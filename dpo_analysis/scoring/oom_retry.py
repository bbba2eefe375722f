"""Scoring again with less memory after an out-of-memory error: smaller batches first, then halves of the requests."""

from collections.abc import Iterator, Sequence

import numpy as np

from dpo_analysis.scoring.requests import Request, Scorer, TokenScores


def score_with_oom_retry(
    scorer: Scorer, requests: Sequence[Request], batch_tokens: int
) -> tuple[TokenScores, np.ndarray, int]:
    """Score ``requests``; a request that does not fit into memory even alone gets no tokens.

    Args:
        scorer: the model.
        requests: the responses to score.
        batch_tokens: tokens of one batch at first; halved until every batch fits or holds a single request.

    Returns:
        The scores, in order; bool, shape (requests,), False for a request that did not fit; the last budget tried.
    """
    longest = max((request.n_tokens for request in requests), default=0)
    budget = batch_tokens
    while (scores := _attempt(scorer, requests, budget)) is None and budget > longest:
        budget //= 2
    if scores is not None:
        return scores, np.ones(len(requests), dtype=bool), budget
    pieces = list(_score_halves(scorer, requests, budget))
    fitted = np.concatenate([[piece is not None] * n for n, piece in pieces]).astype(bool)
    return _concatenated(pieces), fitted, budget


def _attempt(scorer: Scorer, requests: Sequence[Request], budget: int) -> TokenScores | None:
    """Return the scores, or None if memory ran out; the error, and the memory held by its traceback, is gone then."""
    try:
        return scorer.score(requests, batch_tokens=budget)
    except MemoryError:
        return None


def _score_halves(scorer: Scorer, requests: Sequence[Request], budget: int) -> Iterator[tuple[int, TokenScores | None]]:
    """Yield number and scores of the requests, piece by piece; None for a single request that does not fit."""
    scores = _attempt(scorer, requests, budget)
    if scores is not None or len(requests) <= 1:
        yield len(requests), scores
        return
    middle = len(requests) // 2
    yield from _score_halves(scorer, requests[:middle], budget)
    yield from _score_halves(scorer, requests[middle:], budget)


def _concatenated(pieces: Sequence[tuple[int, TokenScores | None]]) -> TokenScores:
    lengths = [np.diff(piece.offsets) if piece else np.zeros(n, np.int64) for n, piece in pieces]
    scored = [piece for _, piece in pieces if piece is not None]

    def flat(name: str, dtype: type) -> np.ndarray:
        return np.concatenate([np.zeros(0, dtype), *(getattr(piece, name) for piece in scored)])

    return TokenScores(
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64),
        logp=flat("logp", np.float32),
        entropy=flat("entropy", np.float32),
        argmax_logp=flat("argmax_logp", np.float32),
        rank=flat("rank", np.int32),
        argmax_id=flat("argmax_id", np.int32),
    )
