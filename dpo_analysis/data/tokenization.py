"""Pairs to the token ids that are scored: border, truncation, status. Handed a tokenizer object; never imports one."""

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


class Special(NamedTuple):
    """The ids that begin and end a text for this tokenizer; None where it has none."""

    bos: int | None = None
    eos: int | None = None


NO_SPECIAL = Special()


@dataclass(frozen=True, slots=True)
class Response:
    """One side's ids: what is conditioned on, and what is scored.

    Attributes:
        prompt_token_ids: int32, shape (prompt tokens,); at least one, since nothing scores a sequence's first token.
        token_ids: int32, shape (response tokens,), end-of-text included where there is one; at least one.
        truncated: prompt + response was longer than max_length and was cut.
    """

    prompt_token_ids: np.ndarray
    token_ids: np.ndarray
    truncated: bool


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """A pair with its ids, or with the status that says why it has none.

    Attributes:
        pair: the pair as it was read.
        group_id: 16 hex digits: hash of the prompt's token ids; pairs of one prompt share it.
        status: one of ``schema.SCORED``, or of ``schema.NOT_SCORED`` and then ``responses`` is empty.
        prompt: the rendered text in front of both responses; prompt + chosen is exactly what was tokenised.
        chosen: the rendered chosen response.
        rejected: the rendered rejected response.
        responses: side -> Response.
        reason: one sentence behind a status of ``schema.NOT_SCORED``, else empty.
        border_shift: prompt tokens that merge with or render otherwise before a response and so belong to it.
        special: the tokenizer's begin and end ids.
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
    special: Special = NO_SPECIAL


def tokenize_pairs(
    pairs: Iterable[Pair],
    tokenizer: Any,
    *,
    tokenization: str = "trl",
    max_length: int | None = 1024,
    truncation: str = "keep_start",
) -> list[TokenizedPair]:
    """Turn pairs into the ids a trainer would score; order kept, one result per pair.

    Args:
        pairs: from ``load_pairs``.
        tokenizer: a transformers tokenizer, slow or fast.
        tokenization: the preset; ``trl`` is exactly TRL 1.16.
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
    cut = slice(max_length) if truncation == "keep_start" or max_length is None else slice(-max_length, None)
    special = Special(tokenizer.bos_token_id, tokenizer.eos_token_id)
    done = []
    for chunk in _chunks(pairs):
        texts = [pair.opened() for pair in chunk]
        for pair, encoded in zip(chunk, PRESETS[tokenization](texts, tokenizer), strict=True):
            done.append(_tokenized(pair, encoded, cut, special))
    return done


def limit_groups(tokenized: Sequence[TokenizedPair], limit: int | None) -> list[TokenizedPair]:
    """Keep the pairs of the ``limit`` smallest group hashes of each split, in their order; None keeps all.

    Random with respect to content, stable under shuffling, and nested: a larger limit keeps what a smaller one kept.
    """
    if limit is None:
        return list(tokenized)
    groups: dict[str, set[str]] = {}
    for pair in tokenized:
        groups.setdefault(pair.pair.split, set()).add(pair.group_id)
    kept = {split: set(sorted(ids)[:limit]) for split, ids in groups.items()}
    return [pair for pair in tokenized if pair.group_id in kept[pair.pair.split]]


def _chunks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    rest = iter(pairs)
    while chunk := list(islice(rest, CHUNK_PAIRS)):
        yield chunk


def _tokenized(pair: Pair, encoded: Encoded, cut: slice, special: Special) -> TokenizedPair:
    problem, reason = encoded.problem, encoded.reason
    responses: dict[str, Response] = {}
    if not problem and cut.start is None and cut.stop is not None and encoded.border >= cut.stop:
        problem, reason = "too_long", f"the prompt alone is {encoded.border} tokens, max_length is {cut.stop}"
    if not problem:
        responses = {side: _response(encoded, index + 1, cut) for index, side in enumerate(SIDES)}
        if any(len(response.token_ids) == 0 for response in responses.values()):
            problem, reason, responses = "empty", "no token is left to score", {}
    border = encoded.texts.border
    return TokenizedPair(
        pair=pair,
        group_id=_group_id(pair, encoded),
        status=problem or _status(responses),
        prompt=encoded.texts.prompt[:border],
        chosen=encoded.texts.with_chosen[border:],
        rejected=encoded.texts.with_rejected[border:],
        responses=responses,
        reason=reason,
        border_shift=len(encoded.ids[0]) - encoded.border if encoded.ids else 0,
        special=special,
    )


def _response(encoded: Encoded, index: int, cut: slice) -> Response:
    ids = encoded.ids[index]
    kept = ids[cut]
    lost_in_front = len(ids) - len(kept) if cut.start is not None else 0
    # A sequence's first token is never scored, so it is context even when no prompt is left.
    border = max(encoded.border - lost_in_front, 1)
    return Response(kept[:border], kept[border:], truncated=len(kept) < len(ids))


def _status(responses: dict[str, Response]) -> str:
    if np.array_equal(responses[CHOSEN].token_ids, responses[REJECTED].token_ids):
        return "identical"
    return "truncated" if any(response.truncated for response in responses.values()) else "ok"


def _group_id(pair: Pair, encoded: Encoded) -> str:
    """Hash of the ids of the prompt alone: the same for all pairs of a prompt, wherever their borders moved."""
    if encoded.ids:
        content = encoded.ids[0].astype("<i4").tobytes()
    else:
        content = json.dumps(pair.prompt, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]
