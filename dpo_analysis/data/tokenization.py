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
from dpo_analysis.data.presets import (
    PRESETS,
    TEMPLATES,
    TRUNCATIONS,
    EncodedPair,
    PresetSettings,
    Response,
    check_settings,
)
from dpo_analysis.data.presets.rendering import one_worker
from dpo_analysis.data.row_texts import is_raw_text
from dpo_analysis.schema import CHOSEN, REJECTED

__all__ = ["PRESETS", "TEMPLATES", "TRUNCATIONS", "Response", "TokenizedPair", "limit_groups", "tokenize_pairs"]

CHUNK_PAIRS = 1024
"""Pairs that are rendered and tokenised together, so that only few pairs are decompressed at a time."""


class SpecialTokenIds(NamedTuple):
    """The tokenizer's begin-of-text and end-of-text ids; None where it has none."""

    bos: int | None = None
    eos: int | None = None


NO_SPECIAL_IDS = SpecialTokenIds()


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
        raw_text: it is plain text, and no chat template rendered it, although the tokenizer has one.
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
    raw_text: bool = False


def tokenize_pairs(
    pairs: Iterable[Pair],
    tokenizer: Any,
    *,
    tokenization: str = "trl",
    max_length: int | None = 1024,
    truncation: str = "keep_start",
    max_prompt_length: int | None = None,
    max_completion_length: int | None = None,
    template: str | None = None,
) -> list[TokenizedPair]:
    """Return every pair with the token ids that a trainer would score, in the order of ``pairs``.

    Args:
        pairs: from ``load_pairs``.
        tokenizer: a transformers tokenizer, slow or fast.
        tokenization: the trainer, a key of ``PRESETS``; ``trl`` is exactly TRL 1.16.
        max_length: longest prompt + response in tokens; None cuts nothing.
        truncation: ``keep_start`` cuts the response's end, and with ``trl`` drops pairs whose prompt fills max_length
            (status too_long, as TRL drops them); ``keep_end`` cuts from the front. A trainer without this choice cuts
            as it always does.
        max_prompt_length: longest prompt in tokens, for trainers with such a limit (``trl-0.9`` to ``trl-0.28``).
        max_completion_length: longest response in tokens, for ``trl-0.24`` and ``trl-0.28``.
        template: the trainer's name of a chat template, one of ``TEMPLATES[tokenization]``; None for the tokenizer's.

    Raises:
        InputError: unknown preset, template or truncation, a limit below 1, no chat template or no end-of-text token
            where the pairs need one.
    """
    settings = PresetSettings(max_length, truncation, max_prompt_length, max_completion_length, template)
    check_settings(tokenization, settings)
    special_ids = SpecialTokenIds(tokenizer.bos_token_id, tokenizer.eos_token_id)
    has_template = bool(getattr(tokenizer, "chat_template", None))
    tokenized = []
    with one_worker():
        for chunk in _in_chunks(pairs):
            decompressed = [pair.decompressed() for pair in chunk]
            all_encoded = PRESETS[tokenization](decompressed, tokenizer, settings)
            for pair, readable, encoded in zip(chunk, decompressed, all_encoded, strict=True):
                raw_text = has_template and is_raw_text(readable, encoded.prompt)
                tokenized.append(tokenized_pair(pair, encoded, special_ids, raw_text=raw_text))
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


def tokenized_pair(
    pair: Pair, encoded: EncodedPair, special_ids: SpecialTokenIds, *, raw_text: bool = False
) -> TokenizedPair:
    """Return the pair with the texts, token ids and status of ``encoded``; ``raw_text`` as for ``TokenizedPair``."""
    return TokenizedPair(
        pair=pair,
        group_id=_group_id(pair, encoded),
        status=encoded.problem or _scored_status(encoded.responses),
        prompt=encoded.prompt,
        chosen=encoded.chosen,
        rejected=encoded.rejected,
        responses=encoded.responses,
        reason=encoded.reason,
        border_shift=encoded.border_shift,
        special_ids=special_ids,
        raw_text=raw_text,
    )


def _scored_status(responses: dict[str, Response]) -> str:
    if np.array_equal(responses[CHOSEN].token_ids, responses[REJECTED].token_ids):
        return "identical"
    return "truncated" if any(response.truncated for response in responses.values()) else "ok"


def _group_id(pair: Pair, encoded: EncodedPair) -> str:
    """Return the hash of the prompt's token ids when tokenised alone, which no merge with a response changes."""
    if encoded.prompt_ids is not None:
        content = encoded.prompt_ids.astype("<i4").tobytes()
    else:
        content = json.dumps(pair.prompt, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]
