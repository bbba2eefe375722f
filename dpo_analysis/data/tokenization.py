"""Token ids of preference pairs as a trainer scores them: border, truncation and status.

The tokenizer is passed in as an object, so this module imports neither torch nor transformers.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.tokenization_presets import PRESETS, Encoded
from dpo_analysis.errors import InputError
from dpo_analysis.schema import CHOSEN, REJECTED, SIDES

TRUNCATIONS = ("keep_start", "keep_end")
CHUNK_PAIRS = 1024
"""Pairs that are rendered and tokenised together, so that only few pairs are decompressed at a time."""


class SpecialTokenIds(NamedTuple):
    """The tokenizer's begin-of-text and end-of-text ids; None where it has none."""

    bos: int | None = None
    eos: int | None = None


NO_SPECIAL_IDS = SpecialTokenIds()


@dataclass(frozen=True, slots=True)
class Response:
    """Token ids of a response and of the prompt that conditions it.

    Attributes:
        prompt_token_ids: int32, shape (prompt tokens,); at least one id, since nothing scores a sequence's first token.
        token_ids: int32, shape (response tokens,), with end-of-text where there is one; at least one id, all scored.
        truncated: whether prompt + response was longer than max_length and was cut.
    """

    prompt_token_ids: np.ndarray
    token_ids: np.ndarray
    truncated: bool


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """A pair with its token ids, or with the status that says why it has none.

    Attributes:
        pair: the pair as it was read.
        group_id: 16 hex digits: hash of the prompt's token ids; pairs with the same prompt share it.
        status: one of ``schema.SCORED``, or of ``schema.NOT_SCORED`` and then ``responses`` is empty.
        prompt: the rendered text in front of both responses; prompt + chosen is exactly what was tokenised.
        chosen: the rendered chosen response.
        rejected: the rendered rejected response.
        responses: side -> Response.
        reason: a sentence that explains a status of ``schema.NOT_SCORED``, else empty.
        border_shift: prompt tokens that merge with a response, or are rendered differently before it, and so belong to
            it.
        special_ids: the tokenizer's begin-of-text and end-of-text ids.
    """

    pair: Pair
    group_id: str
    status: str
    prompt: str
    chosen: str
    rejected: str
    responses: dict[str, Response]
    reason: str = ""
    border_shift: int = 0
    special_ids: SpecialTokenIds = NO_SPECIAL_IDS


def tokenize_pairs(
    pairs: Iterable[Pair],
    tokenizer: Any,
    *,
    tokenization: str = "trl",
    max_length: int | None = 1024,
    truncation: str = "keep_start",
) -> list[TokenizedPair]:
    """Return every pair with the token ids that a trainer would score, in the order of ``pairs``.

    Args:
        pairs: from ``load_pairs``.
        tokenizer: a transformers tokenizer, slow or fast.
        tokenization: a key of ``PRESETS``; ``trl`` is exactly TRL 1.16.
        max_length: longest prompt + response in tokens; None cuts nothing.
        truncation: ``keep_start`` cuts the response's end and drops pairs whose prompt fills max_length (status
            too_long, as TRL drops them); ``keep_end`` cuts from the front.

    Raises:
        InputError: unknown preset or truncation, max_length below 1, no chat template or no end-of-text token where
            the pairs need one.
    """
    if tokenization not in PRESETS:
        raise InputError(f"unknown tokenization {tokenization!r}: there is {', '.join(PRESETS)}; choose one of them")
    if truncation not in TRUNCATIONS:
        raise InputError(f"unknown truncation {truncation!r}: there is {', '.join(TRUNCATIONS)}; choose one of them")
    if max_length is not None and max_length < 1:
        raise InputError(f"bad max_length {max_length}: it counts tokens of prompt + response; give 1 or more")
    kept_range = slice(max_length) if truncation == "keep_start" or max_length is None else slice(-max_length, None)
    special_ids = SpecialTokenIds(tokenizer.bos_token_id, tokenizer.eos_token_id)
    tokenized = []
    for chunk in _in_chunks(pairs):
        decompressed = [pair.decompressed() for pair in chunk]
        for pair, encoded in zip(chunk, PRESETS[tokenization](decompressed, tokenizer), strict=True):
            tokenized.append(_tokenize_pair(pair, encoded, kept_range, special_ids))
    return tokenized


def limit_groups(tokenized: Sequence[TokenizedPair], limit: int | None) -> list[TokenizedPair]:
    """Keep the pairs of the ``limit`` smallest group hashes of each split, in their order; None keeps all.

    The choice is random with respect to content and independent of the order of the pairs. It is nested: a larger limit
    keeps all pairs of a smaller one.
    """
    if limit is None:
        return list(tokenized)
    groups: dict[str, set[str]] = {}
    for pair in tokenized:
        groups.setdefault(pair.pair.split, set()).add(pair.group_id)
    selected = {split: set(sorted(ids)[:limit]) for split, ids in groups.items()}
    return [pair for pair in tokenized if pair.group_id in selected[pair.pair.split]]


def _in_chunks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    remaining = iter(pairs)
    while chunk := list(islice(remaining, CHUNK_PAIRS)):
        yield chunk


def _tokenize_pair(pair: Pair, encoded: Encoded, kept_range: slice, special_ids: SpecialTokenIds) -> TokenizedPair:
    problem, reason = encoded.problem, encoded.reason
    responses: dict[str, Response] = {}
    if not problem and kept_range.start is None and kept_range.stop is not None and encoded.border >= kept_range.stop:
        problem, reason = "too_long", f"the prompt alone is {encoded.border} tokens, max_length is {kept_range.stop}"
    if not problem:
        responses = {side: _response(encoded, index + 1, kept_range) for index, side in enumerate(SIDES)}
        if any(len(response.token_ids) == 0 for response in responses.values()):
            problem, reason, responses = "empty", "no token is left to score", {}
    border = encoded.texts.border
    return TokenizedPair(
        pair=pair,
        group_id=_group_id(pair, encoded),
        status=problem or _scored_status(responses),
        prompt=encoded.texts.prompt[:border],
        chosen=encoded.texts.with_chosen[border:],
        rejected=encoded.texts.with_rejected[border:],
        responses=responses,
        reason=reason,
        border_shift=len(encoded.ids[0]) - encoded.border if encoded.ids else 0,
        special_ids=special_ids,
    )


def _response(encoded: Encoded, index: int, kept_range: slice) -> Response:
    ids = encoded.ids[index]
    kept_ids = ids[kept_range]
    removed_at_start = len(ids) - len(kept_ids) if kept_range.start is not None else 0
    # A sequence's first token is never scored, so it is context even when no prompt is left.
    border = max(encoded.border - removed_at_start, 1)
    return Response(kept_ids[:border], kept_ids[border:], truncated=len(kept_ids) < len(ids))


def _scored_status(responses: dict[str, Response]) -> str:
    if np.array_equal(responses[CHOSEN].token_ids, responses[REJECTED].token_ids):
        return "identical"
    return "truncated" if any(response.truncated for response in responses.values()) else "ok"


def _group_id(pair: Pair, encoded: Encoded) -> str:
    """Return the hash of the prompt's token ids when tokenised alone, which no merge with a response changes."""
    if encoded.ids:
        content = encoded.ids[0].astype("<i4").tobytes()
    else:
        content = json.dumps(pair.prompt, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]
