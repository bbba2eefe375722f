"""Presets ``trl``, as TRL 1.16's ``DPOTrainer._prepare_dataset`` step by step, and ``trl-0.29`` (TRL 0.29 to 1.10).

End-of-text is appended as text to standard rows only. The prompt alone, prompt + chosen and prompt + rejected are
tokenised. A response starts at the first token in which the prompt alone and prompt + response differ; that is before
the prompt's end when the tokenizer merges its last characters with the first of the response. Such a merged token was
trained as part of the response, so it is scored with it.

TRL 0.29 splits where the prompt alone ends, also where prompt + response begins with other tokens: the sequence is then
the prompt alone and what follows after as many tokens.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.encoding import CutSide, EncodedPair, PresetSettings, encoded_pair
from dpo_analysis.data.presets.rendering import apply_template, batch_ids, messages_of, render_rows
from dpo_analysis.errors import InputError

TokenIds = dict[tuple[bool, str], np.ndarray]
"""(whether the row is conversational, text) -> token ids."""


class RenderedTexts(NamedTuple):
    """The texts that are tokenised: the prompt alone and followed by each response."""

    prompt: str
    with_chosen: str
    with_rejected: str

    @property
    def border(self) -> int:
        """Number of characters that the three texts share at the start.

        This is the length of the prompt, unless the template renders the prompt differently before a response.
        """
        if self.with_chosen.startswith(self.prompt) and self.with_rejected.startswith(self.prompt):
            return len(self.prompt)
        characters = zip(*self, strict=False)
        differing = (index for index, column in enumerate(characters) if len(set(column)) > 1)
        return next(differing, min(map(len, self)))


def encode_trl(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as TRL 1.16's DPOTrainer does, in the order of ``pairs``.

    With ``keep_start``, a pair whose prompt fills max_length is ``too_long``, as TRL drops it.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    return _encode(pairs, tokenizer, settings, encode_texts)


def encode_trl_029(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as the DPOTrainer of TRL 0.29 to 1.10 does, in the order of ``pairs``.

    With ``keep_start``, a pair whose prompt fills max_length is ``too_long``: TRL drops it since 1.9, and scores none
    of its tokens before.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    return _encode(pairs, tokenizer, settings, encode_texts_at_prompt)


def _encode(
    pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings, encode: Callable[..., EncodedPair]
) -> list[EncodedPair]:
    rendered = render_rows(pairs, tokenizer, lambda pair: _texts(pair, tokenizer))
    ids = _token_ids(pairs, rendered, tokenizer)
    return [
        row if isinstance(row, EncodedPair) else encode(row, [ids[pair.conversational, text] for text in row], settings)
        for pair, row in zip(pairs, rendered, strict=True)
    ]


def encode_texts(texts: RenderedTexts, ids: Sequence[np.ndarray], settings: PresetSettings) -> EncodedPair:
    """Return the pair of ``texts``, whose token ids are ``ids``, split where prompt and prompt + response part."""
    alone, *with_responses = ids
    border = min(shared_prefix_length(alone, whole) for whole in with_responses)
    return _cut_pair(texts, alone, with_responses, border, settings)


def encode_texts_at_prompt(texts: RenderedTexts, ids: Sequence[np.ndarray], settings: PresetSettings) -> EncodedPair:
    """Return the pair of ``texts``, whose token ids are ``ids``, split after as many tokens as the prompt has."""
    alone, *with_responses = ids
    sequences = [np.concatenate([alone, whole[len(alone) :]]) for whole in with_responses]
    return _cut_pair(texts, alone, sequences, len(alone), settings)


def _cut_pair(
    texts: RenderedTexts, alone: np.ndarray, sequences: Sequence[np.ndarray], border: int, settings: PresetSettings
) -> EncodedPair:
    pieces = (texts.prompt[: texts.border], texts.with_chosen[texts.border :], texts.with_rejected[texts.border :])
    border_shift = len(alone) - border
    limit = settings.max_length
    if limit is not None and settings.truncation == "keep_start" and border >= limit:
        reason = f"the prompt alone is {border} tokens, max_length is {limit}"
        return EncodedPair(*pieces, {}, alone, "too_long", reason, border_shift)
    sides = [cut_sequence(ids, border, limit, settings.truncation) for ids in sequences]
    return encoded_pair(pieces, alone, sides, border_shift=border_shift)


def cut_sequence(ids: np.ndarray, border: int, limit: int | None, truncation: str) -> CutSide:
    """Return prompt + response, ``ids``, with at most ``limit`` tokens; the response begins at position ``border``."""
    if limit is None or len(ids) <= limit:
        return CutSide(ids[:border], ids[border:], truncated=False)
    n_removed = 0 if truncation == "keep_start" else len(ids) - limit
    kept, start = ids[n_removed : n_removed + limit], max(border - n_removed, 0)
    return CutSide(kept[:start], kept[start:], truncated=True)


def shared_prefix_length(first: np.ndarray, second: np.ndarray) -> int:
    """Return the number of leading token ids that two sequences, shape (tokens,) each, share."""
    shorter = min(len(first), len(second))
    differing = np.flatnonzero(first[:shorter] != second[:shorter])
    return int(differing[0]) if differing.size else shorter


def _token_ids(pairs: Sequence[Pair], rendered: Iterable[RenderedTexts | EncodedPair], tokenizer: Any) -> TokenIds:
    rows = [(pair, texts) for pair, texts in zip(pairs, rendered, strict=True) if isinstance(texts, RenderedTexts)]
    ids: TokenIds = {}
    # Chat templates write special tokens themselves; standard rows get the tokenizer's (bos). Hence two calls.
    for conversational in (False, True):
        texts = (text for pair, texts in rows if pair.conversational is conversational for text in texts)
        found = batch_ids(texts, tokenizer, add_special_tokens=not conversational)
        ids |= {(conversational, text): token_ids for text, token_ids in found.items()}
    return ids


def _texts(pair: Pair, tokenizer: Any) -> RenderedTexts:
    return _conversational_texts(pair, tokenizer) if pair.conversational else _standard_texts(pair, tokenizer)


def _standard_texts(pair: Pair, tokenizer: Any) -> RenderedTexts:
    eos = tokenizer.eos_token
    if eos is None:
        raise InputError("no end-of-text token in the tokenizer: TRL ends every text row with it; set its eos_token")
    return ended_texts(str(pair.prompt), str(pair.chosen), str(pair.rejected), eos=eos)


def ended_texts(prompt: str, chosen: str, rejected: str, *, eos: str) -> RenderedTexts:
    """Return the texts of a standard row, whose responses end with ``eos``."""
    sides = (side if side.endswith(eos) else side + eos for side in (chosen, rejected))
    return RenderedTexts(prompt, *(prompt + side for side in sides))


def _conversational_texts(pair: Pair, tokenizer: Any) -> RenderedTexts:
    prompt, chosen, rejected = messages_of(pair)
    # Only the prompt alone ends with the header of the assistant's turn: the responses bring theirs.
    conversations = ((prompt, True), (prompt + chosen, False), (prompt + rejected, False))
    return RenderedTexts(
        *(
            apply_template(tokenizer, pair, messages, add_generation_prompt=header, tools=pair.tools)
            for messages, header in conversations
        )
    )
