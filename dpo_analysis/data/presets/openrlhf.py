"""Preset ``openrlhf``: OpenRLHF 0.11.2; prompt + response is a single text, split after as many tokens as the prompt.

The text loses the newlines at its end and gets `` `` + end-of-text where it does not end with it; its last id is always
end-of-text, also where it was cut at ``max_length``. A row whose prompt leaves fewer than three tokens is dropped.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.encoding import CutSide, EncodedPair, PresetSettings, encoded_pair
from dpo_analysis.data.presets.rendering import apply_template, batch_ids, messages_of, render_rows
from dpo_analysis.errors import InputError

ANSWER_LENGTH = 2
"""Tokens that a prompt must leave free within max_length, and one more."""


class WholeTexts(NamedTuple):
    """The prompt, and prompt + response with its end."""

    prompt: str
    with_chosen: str
    with_rejected: str


def encode_openrlhf(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as OpenRLHF 0.11.2 does, in the order of ``pairs``.

    A row without a prompt column gives its last message as the answer; a text without one has no prompt.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    if tokenizer.eos_token is None:
        raise InputError("no end-of-text token in the tokenizer: OpenRLHF ends every row with it; set its eos_token")
    rendered = render_rows(pairs, tokenizer, lambda pair: _texts(pair, tokenizer))
    ids = batch_ids((text for row in rendered if isinstance(row, WholeTexts) for text in row), tokenizer)
    return [row if isinstance(row, EncodedPair) else _encode(row, ids, tokenizer, settings) for row in rendered]


def _encode(texts: WholeTexts, ids: dict[str, np.ndarray], tokenizer: Any, settings: PresetSettings) -> EncodedPair:
    limit = settings.max_length
    prompt = ids[texts.prompt]
    border = len(texts.prompt)
    pieces = (texts.prompt, texts.with_chosen[border:], texts.with_rejected[border:])
    if limit is not None and len(prompt) >= limit - ANSWER_LENGTH:
        reason = (
            f"the prompt alone is {len(prompt)} tokens, max_length is {limit}: OpenRLHF needs {ANSWER_LENGTH + 1} more"
        )
        return EncodedPair(*pieces, {}, prompt, "too_long", reason)
    sides = []
    for whole in texts[1:]:
        kept = ids[whole][:limit].copy()
        kept[-1:] = tokenizer.eos_token_id
        sides.append(CutSide(kept[: len(prompt)], kept[len(prompt) :], len(kept) < len(ids[whole])))
    return encoded_pair(pieces, prompt, sides)


def _texts(pair: Pair, tokenizer: Any) -> WholeTexts:
    prompt, *responses = _conversation(pair, tokenizer) if pair.conversational else _plain(pair)
    return WholeTexts(prompt, *(_ended(prompt + response, tokenizer.eos_token) for response in responses))


def _plain(pair: Pair) -> tuple[str, str, str]:
    prompt, chosen, rejected = str(pair.prompt), str(pair.chosen), str(pair.rejected)
    if not pair.has_prompt_column:
        return "", prompt + chosen, prompt + rejected
    return prompt, chosen, rejected


def _conversation(pair: Pair, tokenizer: Any) -> tuple[str, str, str]:
    messages, *sides = messages_of(pair)
    whole = [messages + side for side in sides]
    if not pair.has_prompt_column:
        messages = whole[0][:-1]
    prompt = apply_template(tokenizer, pair, messages, row_kwargs=False, add_generation_prompt=True)
    chosen, rejected = (apply_template(tokenizer, pair, side, row_kwargs=False)[len(prompt) :] for side in whole)
    return prompt, chosen, rejected


def _ended(text: str, eos: str) -> str:
    text = text.rstrip("\n")
    return text if text.endswith(eos) else f"{text} {eos}"
