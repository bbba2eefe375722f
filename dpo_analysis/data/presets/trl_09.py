"""Preset ``trl-0.9``: TRL 0.9.6, which knows text rows only; conversations are rendered by the chat template first.

Prompt + response is tokenised without special tokens and split where the prompt alone ends, one token earlier where the
tokenizer merges over the border. The begin-of-text id goes in front of a prompt that does not begin with it, the
end-of-text id behind a response that does not end with it. Only where prompt + longer response exceed ``max_length`` is
anything cut: first the prompt to ``max_prompt_length``, at the side that ``truncation`` says, then, where that does not
suffice, each response to ``max_length - max_prompt_length``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.encoding import CutSide, EncodedPair, PresetSettings, encoded_pair
from dpo_analysis.data.presets.rendering import apply_template, batch_ids, messages_of, render_rows
from dpo_analysis.errors import InputError

MAX_PROMPT_LENGTH = 128
"""The trainer's max_prompt_length in tokens where none is set."""


class Split(NamedTuple):
    """Token ids of prompt and response, int32 of shape (tokens,) each."""

    prompt: np.ndarray
    response: np.ndarray


def encode_trl_09(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as the DPOTrainer of TRL 0.9.6 does, in the order of ``pairs``.

    Raises:
        InputError: the tokenizer lacks the chat template, the begin-of-text or the end-of-text token.
    """
    for name, place in (("bos", "before every prompt"), ("eos", "behind every response")):
        if getattr(tokenizer, f"{name}_token_id") is None:
            word = "begin-of-text" if name == "bos" else "end-of-text"
            raise InputError(f"no {word} token in the tokenizer: TRL 0.9 puts it {place}; set its {name}_token")
    rendered = render_rows(pairs, tokenizer, lambda pair: _texts(pair, tokenizer))
    texts = [row for row in rendered if not isinstance(row, EncodedPair)]
    ids = batch_ids((text for row in texts for text in (row[0], row[0] + row[1], row[0] + row[2])), tokenizer)
    return [row if isinstance(row, EncodedPair) else _encode_texts(row, ids, tokenizer, settings) for row in rendered]


def _texts(pair: Pair, tokenizer: Any) -> tuple[str, str, str]:
    if not pair.conversational:
        return str(pair.prompt), str(pair.chosen), str(pair.rejected)
    messages, *sides = messages_of(pair)
    prompt = apply_template(tokenizer, pair, messages, add_generation_prompt=True)
    whole = [apply_template(tokenizer, pair, messages + side) for side in sides]
    return prompt, whole[0][len(prompt) :], whole[1][len(prompt) :]


def _encode_texts(
    texts: tuple[str, str, str], ids: dict[str, np.ndarray], tokenizer: Any, settings: PresetSettings
) -> EncodedPair:
    prompt, *responses = texts
    alone = ids[prompt]
    whole = [ids[prompt + response] for response in responses]
    splits = [_split(alone, ids_of_side) for ids_of_side in whole]
    problem = _difference(*(split.prompt for split in splits))
    if min(map(len, whole)) < len(alone):
        problem = "prompt + response has fewer tokens than the prompt alone: TRL 0.9 stops at such a row"
    if problem:
        return EncodedPair(*texts, {}, alone, "template_error", problem)
    border_shift = len(alone) - min(len(split.prompt) for split in splits)
    ended = [_with_special_ids(split, tokenizer) for split in splits]
    longer = max(len(split.response) for split in ended)
    sides = [_cut(split, longer, settings) for split in ended]
    return encoded_pair(texts, alone, sides, border_shift=border_shift)


def _split(alone: np.ndarray, whole: np.ndarray) -> Split:
    """Split prompt + response where the prompt alone ends, or a token earlier where that token is another."""
    border = len(alone)
    if not np.array_equal(alone, whole[:border]):
        border -= 1
    return Split(whole[:border], whole[border:])


def _difference(chosen: np.ndarray, rejected: np.ndarray) -> str:
    """Return why TRL stops at a row with these two prompts; empty where it does not."""
    shared = min(len(chosen), len(rejected))
    if np.count_nonzero(chosen[:shared] != rejected[:shared]) > 1 or abs(len(chosen) - len(rejected)) > 1:
        return "the prompt's tokens differ before chosen and rejected: TRL 0.9 stops at such a row"
    return ""


def _with_special_ids(split: Split, tokenizer: Any) -> Split:
    prompt, response = split
    if len(prompt) == 0 or prompt[0] != tokenizer.bos_token_id:
        prompt = np.concatenate([[tokenizer.bos_token_id], prompt])
    if len(response) == 0 or response[-1] != tokenizer.eos_token_id:
        response = np.concatenate([response, [tokenizer.eos_token_id]])
    return Split(prompt, response)


def _cut(split: Split, longer_response: int, settings: PresetSettings) -> CutSide:
    prompt, response = split
    limit, prompt_limit = settings.max_length, settings.max_prompt_length or MAX_PROMPT_LENGTH
    if limit is not None and len(prompt) + longer_response > limit:
        prompt = prompt[:prompt_limit] if settings.truncation == "keep_start" else prompt[-prompt_limit:]
        if len(prompt) + longer_response > limit:
            response = response[: limit - prompt_limit]
    truncated = len(prompt) < len(split.prompt) or len(response) < len(split.response)
    return CutSide(prompt, response, truncated)
