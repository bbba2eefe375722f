"""Pairs of more than two ranked responses to one prompt."""

import math
from collections.abc import Sequence
from typing import Any

from dpo_analysis.errors import InputError
from dpo_analysis.text.plain_numbers import parse_number

PAIRINGS = ("best-worst", "best-rest", "all")
"""Ways to pair them: the best with the worst, the best with every worse response, or each with every worse response."""

MAX_RESPONSES = 256
"""Responses to one prompt of which all pairs are made."""


def check_pairing(pairing: str) -> None:
    """Check the name of a way to pair.

    Raises:
        InputError: there is none of that name.
    """
    if pairing not in PAIRINGS:
        raise InputError(f"pairing {pairing!r}: there are {', '.join(PAIRINGS)}; give one of them")


def paired(responses: Sequence[Any], scores: Sequence[float | None], pairing: str) -> list[tuple[Any, Any]]:
    """Return (chosen, rejected) of ranked responses; two responses with the same score are never a pair.

    Args:
        responses: the responses to one prompt.
        scores: the score of each, the best one highest; a response without a score is left out.
        pairing: one of ``PAIRINGS``.

    Raises:
        InputError: there are more than ``MAX_RESPONSES``, of which all pairs are wanted.
    """
    if pairing == "all" and len(responses) > MAX_RESPONSES:
        raise InputError(
            f"{len(responses)} responses to one prompt: --pairing all takes {MAX_RESPONSES} at most, since their pairs "
            "grow with the square; give --pairing best-rest"
        )
    scored = [(score, response) for score, response in zip(scores, responses, strict=True) if score is not None]
    # sorted is stable: of equally good responses the first in the row comes first
    ranked = sorted(scored, key=lambda item: -item[0])
    if pairing == "best-worst":
        candidates = [(ranked[0], ranked[-1])] if ranked else []
    elif pairing == "best-rest":
        candidates = [(ranked[0], worse) for worse in ranked[1:]]
    else:
        candidates = [(better, worse) for index, better in enumerate(ranked) for worse in ranked[index + 1 :]]
    return [(better[1], worse[1]) for better, worse in candidates if better[0] > worse[0]]


def score_of(value: Any) -> float | None:
    """Return a score as a number; None where it is none, such as "N/A"."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = parse_number(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
