"""The noise floor: the largest difference between two scorings of one model that rounding alone explains.

In float32 rounding differs with the packing into batches, so the reference is scored in two packings. In 16 bits two
packings often agree to the bit while both are far from the true value: there the difference to float32 counts, twice,
since a log-ratio is the difference of two scorings that are each so far off.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from dpo_analysis.data.tokenization import TokenizedPair
from dpo_analysis.runs import NoiseFloor
from dpo_analysis.schema import SCORED, SIDES
from dpo_analysis.scoring.requests import Request, Scorer, TokenScores, request_of

NOISE_PAIRS = 64
"""Pairs on which the noise floor is measured, at most."""


@runtime_checkable
class Float32Scorer(Protocol):
    """A scorer of a 16-bit model that can score in float32 as well."""

    def score_in_float32(self, requests: Sequence[Request]) -> TokenScores | None:
        """Return the scores in float32; None where they are in float32 anyway, or cannot be had."""
        ...


def noise_floor(scorer: Scorer, tokenized: Sequence[TokenizedPair], *, batch_tokens: int) -> NoiseFloor | None:
    """Measure the noise floor of the run from scorings of its reference.

    The pairs are scored in large batches and with each prompt in a batch by itself; a model in 16 bits scores them in
    float32, too.

    Args:
        scorer: the reference, opened.
        tokenized: all pairs of the run; at most ``NOISE_PAIRS`` of the scored ones are used, by smallest group hash.
        batch_tokens: tokens of one batch of the first scoring.

    Returns:
        The largest absolute differences of a token and of a response, in nats; None where no response is finite, or
        not even one fits into memory.
    """
    pairs = noise_pairs(tokenized)
    requests = [request_of(pair.responses[side]) for pair in pairs for side in SIDES]
    if not requests:
        return None
    together, alone = _score(scorer, requests, batch_tokens), _score(scorer, requests, 1)
    if together is None or alone is None:
        return None
    packing = _largest_differences(together, alone)
    if packing is None:
        return None
    in_float32 = scorer.score_in_float32(requests) if isinstance(scorer, Float32Scorer) else None
    against = "packing" if in_float32 is None else "float32"
    rounding = None if in_float32 is None else _largest_differences(together, in_float32)
    token, response = packing
    if rounding is not None:
        token, response = max(token, 2 * rounding[0]), max(response, 2 * rounding[1])
    return NoiseFloor(token, response, len(pairs), against)


def noise_pairs(tokenized: Sequence[TokenizedPair]) -> list[TokenizedPair]:
    """Return the pairs on which the noise floor is measured."""
    return sorted((pair for pair in tokenized if pair.status in SCORED), key=lambda pair: pair.group_id)[:NOISE_PAIRS]


def _largest_differences(first: TokenScores, second: TokenScores) -> tuple[float, float] | None:
    """Return the largest absolute difference of a token and of a response's sum, nats; None where none is finite."""
    differences = first.logp.astype(np.float64) - second.logp.astype(np.float64)
    sums = np.add.reduceat(differences, first.offsets[:-1])
    finite = np.isfinite(sums)
    if not finite.any():
        return None
    return float(abs(differences[np.isfinite(differences)]).max()), float(abs(sums[finite]).max())


def _score(scorer: Scorer, requests: Sequence[Request], batch_tokens: int) -> TokenScores | None:
    """Return the scores at ``batch_tokens`` or, where memory runs out, at half of it and so on; None if none fits."""
    while batch_tokens >= 1:
        try:
            return scorer.score(requests, batch_tokens=batch_tokens)
        except MemoryError:
            batch_tokens //= 2
    return None
