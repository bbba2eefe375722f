"""What differs between the token ids that two presets make of the same pair."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpo_analysis.data.presets import Response
from dpo_analysis.data.tokenization import TokenizedPair

DIFFERENCES = ("status", "bos", "prompt", "eos", "response", "cut")
"""The kinds of difference; ``check.difference.<kind>`` in ``words`` is the sentence of each."""


class SideParts(NamedTuple):
    """The ids of a side, int32 of shape (tokens,) each, apart from the special tokens at its ends.

    Attributes:
        prompt: the prompt without begin-of-text.
        response: the response without end-of-text, and without what stands between two of them.
        n_bos: begin-of-text tokens in front.
        n_eos: end-of-text tokens among the last three.
    """

    prompt: np.ndarray
    response: np.ndarray
    n_bos: int
    n_eos: int


def differences(first: TokenizedPair, second: TokenizedPair) -> list[str]:
    """Return the kinds of ``DIFFERENCES`` between two tokenizations of a pair, in their order; empty for none."""
    if bool(first.responses) != bool(second.responses):
        return ["status"]
    found = {kind for side in first.responses for kind in _side_differences(first, second, side)}
    return [kind for kind in DIFFERENCES if kind in found]


def first_difference(first: Sequence[object], second: Sequence[object]) -> int | None:
    """Return the first position at which two sequences differ, or None where they are equal."""
    shared = min(len(first), len(second))
    position = next((n for n in range(shared) if first[n] != second[n]), shared)
    return None if position == len(first) == len(second) else position


def _side_differences(first: TokenizedPair, second: TokenizedPair, side: str) -> list[str]:
    responses = first.responses[side], second.responses[side]
    a, b = (_side_parts(pair.responses[side], pair) for pair in (first, second))
    equal = {
        "bos": a.n_bos == b.n_bos,
        "prompt": np.array_equal(a.prompt, b.prompt),
        "eos": a.n_eos == b.n_eos,
        "response": np.array_equal(a.response, b.response),
        "cut": responses[0].truncated == responses[1].truncated,
    }
    return [kind for kind, same in equal.items() if not same]


def _side_parts(response: Response, pair: TokenizedPair) -> SideParts:
    bos, eos = pair.special_ids
    prompt, ids = response.prompt_token_ids, response.token_ids
    n_bos = 0
    while bos is not None and n_bos < len(prompt) and prompt[n_bos] == bos:
        n_bos += 1
    is_end = ids[-3:] == eos if eos is not None else np.zeros(0, dtype=bool)
    n_eos = int(is_end.sum())
    text_end = len(ids) - (len(is_end) - int(is_end.argmax())) if n_eos else len(ids)
    return SideParts(prompt[n_bos:], ids[:text_end], n_bos, n_eos)
