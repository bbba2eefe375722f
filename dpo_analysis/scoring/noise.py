"""The noise floor: how far the same reference differs from itself when only the packing into batches changes."""

from collections.abc import Sequence

import numpy as np

from dpo_analysis.data.tokens import TokenizedPair
from dpo_analysis.runs import NoiseFloor
from dpo_analysis.schema import SCORED, SIDES
from dpo_analysis.scoring.requests import Request, Scorer, TokenScores

NOISE_PAIRS = 64


def noise_floor(scorer: Scorer, tokenized: Sequence[TokenizedPair], *, batch_tokens: int) -> NoiseFloor | None:
    """Score the pairs of the smallest group hashes twice: in batches, and each prompt in a batch of its own.

    Args:
        scorer: the reference, opened.
        tokenized: all pairs of the run; at most ``NOISE_PAIRS`` of those that are scored are used.
        batch_tokens: the budget of the first scoring, in tokens.

    Returns:
        Largest absolute differences in nats; None where no pair is finite or not even one response fits.
    """
    scored = sorted((pair for pair in tokenized if pair.status in SCORED), key=lambda pair: pair.group_id)
    chosen = scored[:NOISE_PAIRS]
    requests = [
        Request(one.prompt_token_ids, one.token_ids)
        for pair in chosen
        for one in map(pair.responses.__getitem__, SIDES)
    ]
    if not requests:
        return None
    together, alone = _score(scorer, requests, batch_tokens), _score(scorer, requests, 1)
    if together is None or alone is None:
        return None
    gap = together.logp.astype(np.float64) - alone.logp.astype(np.float64)
    sums = np.add.reduceat(gap, together.offsets[:-1])
    finite = np.isfinite(sums)
    if not finite.any():
        return None
    tokens = gap[np.isfinite(gap)]
    return NoiseFloor(token=float(abs(tokens).max()), response=float(abs(sums[finite]).max()), n_pairs=len(chosen))


def _score(scorer: Scorer, requests: Sequence[Request], batch_tokens: int) -> TokenScores | None:
    """The scores at the largest budget, halved from ``batch_tokens`` on, that fits; None where none does."""
    while batch_tokens >= 1:
        try:
            return scorer.score(requests, batch_tokens=batch_tokens)
        except MemoryError:
            batch_tokens //= 2
    return None
