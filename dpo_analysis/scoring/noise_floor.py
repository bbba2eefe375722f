"""The noise floor: how far apart two scorings of one model may lie by rounding alone.

In float32 the packing into batches is what may change, so the reference is scored in two packings. In 16 bits two
packings often agree to the bit while both are far from the truth: there the gap to float32 counts, twice, since a
log-ratio is the difference of two scorings, each of them that far off.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.runs import NoiseFloor
from dpo_analysis.schema import SCORED, SIDES
from dpo_analysis.scoring.requests import Request, Scorer, TokenScores

NOISE_PAIRS = 64


@runtime_checkable
class Exact(Protocol):
    """A scorer that rounds to 16 bits and can do without."""

    def exact(self, requests: Sequence[Request]) -> TokenScores | None:
        """The scores in float32; None where they are so anyway, or cannot be had."""
        ...


def noise_floor(scorer: Scorer, tokenized: Sequence[TokenizedPair], *, batch_tokens: int) -> NoiseFloor | None:
    """Score the pairs of the smallest group hashes in batches, each prompt in a batch of its own, and in float32.

    Args:
        scorer: the reference, opened.
        tokenized: all pairs of the run; at most ``NOISE_PAIRS`` of those that are scored are used.
        batch_tokens: the budget of the first scoring, in tokens.

    Returns:
        Largest absolute differences in nats; None where no pair is finite or not even one response fits.
    """
    chosen = noise_pairs(tokenized)
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
    found = _gap(together, alone)
    if found is None:
        return None
    exact = scorer.exact(requests) if isinstance(scorer, Exact) else None
    against = "packing" if exact is None else "float32"
    wide = None if exact is None else _gap(together, exact)
    token, response = found if wide is None else (max(one, 2 * other) for one, other in zip(found, wide, strict=True))
    return NoiseFloor(token, response, len(chosen), against)


def noise_pairs(tokenized: Sequence[TokenizedPair]) -> list[TokenizedPair]:
    """The pairs that the noise floor is measured on."""
    return sorted((pair for pair in tokenized if pair.status in SCORED), key=lambda pair: pair.group_id)[:NOISE_PAIRS]


def _gap(one: TokenScores, other: TokenScores) -> tuple[float, float] | None:
    """The largest absolute difference of a token and of a response's sum, nats; None where no response is finite."""
    gap = one.logp.astype(np.float64) - other.logp.astype(np.float64)
    sums = np.add.reduceat(gap, one.offsets[:-1])
    finite = np.isfinite(sums)
    if not finite.any():
        return None
    return float(abs(gap[np.isfinite(gap)]).max()), float(abs(sums[finite]).max())


def _score(scorer: Scorer, requests: Sequence[Request], batch_tokens: int) -> TokenScores | None:
    """The scores at the largest budget, halved from ``batch_tokens`` on, that fits; None where none does."""
    while batch_tokens >= 1:
        try:
            return scorer.score(requests, batch_tokens=batch_tokens)
        except MemoryError:
            batch_tokens //= 2
    return None
