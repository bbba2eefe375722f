"""Presets ``trl-0.24`` (TRL 0.14 to 0.27), ``trl-0.28`` and ``trl-0.12``: prompt and responses are tokenised apart.

No begin-of-text is added to texts. The end-of-text id is appended to every response, also where the chat template has
ended it already; TRL 0.28 appends it to texts only. Before the end, the prompt keeps its last ``max_prompt_length``
tokens and a response its first ``max_completion_length``; then prompt + response is cut to ``max_length``, by
``truncation``, wherever the border falls. TRL 0.12 and 0.13 always keep the start there, whatever truncation says.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.encoding import CutSide, EncodedPair, PresetSettings, encoded_pair
from dpo_analysis.data.presets.rendering import (
    RowProblem,
    apply_template,
    batch_ids,
    messages_of,
    render_rows,
    shared_beginning,
)
from dpo_analysis.data.presets.trl import cut_sequence
from dpo_analysis.errors import InputError


class PieceTexts(NamedTuple):
    """The three texts of a row that are tokenised apart, and whether end-of-text follows each response."""

    prompt: str
    chosen: str
    rejected: str
    ends: bool = True


def encode_trl_024(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as the DPOTrainer of TRL 0.24 does, in the order of ``pairs``.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    return _encode(pairs, tokenizer, settings, end_conversations=True)


def encode_trl_028(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as the DPOTrainer of TRL 0.28 does: as 0.24, but no end-of-text after conversations.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    return _encode(pairs, tokenizer, settings, end_conversations=False)


def encode_trl_012(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as the DPOTrainer of TRL 0.12 does: as 0.24, but it always keeps the start.

    TRL 0.12 also leaves out the last token of the longest row of a batch, where the batch has padding to spare; that
    depends on the rows beside it and is not done here.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    return _encode(pairs, tokenizer, settings._replace(truncation="keep_start"), end_conversations=True)


def _encode(
    pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings, *, end_conversations: bool
) -> list[EncodedPair]:
    rendered = render_rows(pairs, tokenizer, lambda pair: _texts(pair, tokenizer, end_conversations))
    texts = [row for row in rendered if isinstance(row, PieceTexts)]
    if tokenizer.eos_token_id is None and any(row.ends for row in texts):
        raise InputError("no end-of-text token in the tokenizer: TRL ends every response with it; set its eos_token")
    ids = batch_ids((text for row in texts for text in row[:3]), tokenizer)
    return [row if isinstance(row, EncodedPair) else _encode_texts(row, ids, tokenizer, settings) for row in rendered]


def _encode_texts(
    texts: PieceTexts, ids: dict[str, np.ndarray], tokenizer: Any, settings: PresetSettings
) -> EncodedPair:
    prompt = ids[texts.prompt]
    end = np.array([tokenizer.eos_token_id] if texts.ends else [], dtype=np.int32)
    end_text = tokenizer.eos_token if texts.ends else ""
    whole = [np.concatenate([ids[text], end]) for text in (texts.chosen, texts.rejected)]
    sides = [_cut(prompt, response, settings) for response in whole]
    return encoded_pair((texts.prompt, texts.chosen + end_text, texts.rejected + end_text), prompt, sides)


def _cut(prompt: np.ndarray, response: np.ndarray, settings: PresetSettings) -> CutSide:
    kept_prompt = prompt if settings.max_prompt_length is None else prompt[-settings.max_prompt_length :]
    kept_response = response[: settings.max_completion_length]
    ids = np.concatenate([kept_prompt, kept_response])
    cut = cut_sequence(ids, len(kept_prompt), settings.max_length, settings.truncation)
    return cut._replace(truncated=cut.truncated or len(ids) < len(prompt) + len(response))


def _texts(pair: Pair, tokenizer: Any, end_conversations: bool) -> PieceTexts:
    if not pair.conversational:
        return PieceTexts(str(pair.prompt), str(pair.chosen), str(pair.rejected))
    messages, *sides = messages_of(pair)
    roles = ("user", "assistant") if end_conversations else ("user", "assistant", "tool")
    if not messages or messages[-1]["role"] not in roles:
        found = f"ends with the role {messages[-1]['role']!r}" if messages else "is empty"
        raise RowProblem("template_error", f"the prompt {found}: TRL stops at a prompt that ends with another role")
    continued = messages[-1]["role"] == "assistant"
    prompt = apply_template(
        tokenizer, pair, messages, continue_final_message=continued, add_generation_prompt=not continued, tools=None
    )
    responses = []
    for side in sides:
        whole = apply_template(tokenizer, pair, messages + side, tools=None)
        # The prompt shrinks to what it shares with chosen, then with rejected; chosen keeps its first cut, as in TRL.
        prompt = shared_beginning(prompt, whole)
        responses.append(whole[len(prompt) :])
    return PieceTexts(prompt, *responses, ends=end_conversations)
