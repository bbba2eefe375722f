"""Preset ``axolotl``: Axolotl 0.19.0, which renders rows to texts and hands them to TRL 1.9.

Conversations are rendered as its dataset type ``chat_template.default`` does: the answer alone after a message of the
user, from the answer's content on, without white space at the end. With the template ``chatml`` or ``llama3`` rows are
written as its dataset types of these names do. Texts are otherwise taken as they are. Rows that are longer than
``max_length``, its sequence_len, are dropped.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.conversation import read_conversation
from dpo_analysis.data.presets.encoding import EncodedPair, PresetSettings
from dpo_analysis.data.presets.rendering import RowProblem, apply_template, batch_ids, messages_of, render_rows
from dpo_analysis.data.presets.trl import RenderedTexts, encode_texts_at_prompt, ended_texts
from dpo_analysis.errors import InputError

PLACEHOLDER = {"role": "user", "content": "[[dummy_message]]"}
"""The message after which an answer is rendered alone."""


class TurnTexts(NamedTuple):
    """The texts in front of a message, by role, and behind each."""

    start: str
    header_end: str
    end: str

    def message(self, role: str, text: str = "") -> str:
        """Return a message without its end."""
        return f"{self.start}{role}{self.header_end}{text}"


TURNS = {
    "chatml": TurnTexts("<|im_start|>", "\n", "<|im_end|>"),
    "llama3": TurnTexts("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"),
}
"""The dataset types that write a turn themselves, by name of template."""
AFTER_TURN = {"chatml": "\n", "llama3": ""}
"""What stands between a turn and the next."""


def encode_axolotl(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as Axolotl 0.19.0 does, in the order of ``pairs``.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    if tokenizer.eos_token is None:
        raise InputError("no end-of-text token in the tokenizer: TRL ends every row with it; set its eos_token")
    rendered = render_rows(pairs, tokenizer, lambda pair: _texts(pair, tokenizer, settings.template))
    rows = [row for row in rendered if not isinstance(row, EncodedPair)]
    lengths = batch_ids((text for row in rows for text in row), tokenizer)
    ended = [ended_texts(*row, eos=tokenizer.eos_token) for row in rows]
    ids = batch_ids((text for texts in ended for text in texts), tokenizer, add_special_tokens=True)
    encoded = iter(_encode(row, texts, lengths, ids, settings) for row, texts in zip(rows, ended, strict=True))
    return [row if isinstance(row, EncodedPair) else next(encoded) for row in rendered]


def _encode(
    row: tuple[str, str, str],
    texts: RenderedTexts,
    lengths: dict[str, np.ndarray],
    ids: dict[str, np.ndarray],
    settings: PresetSettings,
) -> EncodedPair:
    prompt, *responses = (len(lengths[text]) for text in row)
    limit = settings.max_length
    if limit is not None and prompt + max(responses) > limit:
        reason = f"the row has {prompt + max(responses)} tokens, max_length is {limit}: Axolotl drops it"
        return EncodedPair(*row, {}, ids[texts.prompt], "too_long", reason)
    # TRL's default: Axolotl has no option of its own for the side that is cut.
    return encode_texts_at_prompt(texts, [ids[text] for text in texts], settings._replace(truncation="keep_start"))


def _texts(pair: Pair, tokenizer: Any, template: str | None) -> tuple[str, str, str]:
    if template is not None:
        texts = _written_texts(pair, template)
    elif pair.conversational:
        texts = _template_texts(pair, tokenizer)
    else:
        texts = (str(pair.prompt), str(pair.chosen), str(pair.rejected))
    if not all(texts):
        raise RowProblem("template_error", "Axolotl stops at a row with an empty prompt, chosen or rejected")
    return texts


def _template_texts(pair: Pair, tokenizer: Any) -> tuple[str, str, str]:
    keys = ("role", "content")
    messages, *sides = messages_of(pair)
    prompt = apply_template(
        tokenizer,
        pair,
        [{key: message.get(key) for key in keys} for message in messages],
        row_kwargs=False,
        add_generation_prompt=True,
    )
    responses = []
    for side in sides:
        answer = {key: side[-1].get(key) for key in keys}
        if not isinstance(answer["content"], str):
            raise RowProblem("template_error", "the content of a message is no text")
        text = apply_template(tokenizer, pair, [PLACEHOLDER, answer], row_kwargs=False, add_generation_prompt=False)
        responses.append(text[text.find(answer["content"]) :].rstrip())
    return prompt, responses[0], responses[1]


def _written_texts(pair: Pair, template: str) -> tuple[str, str, str]:
    conversation = read_conversation(pair, "Axolotl")
    if len(conversation.turns) != 1:
        raise RowProblem("template_error", f"Axolotl's type {template} takes a single message of the user as a prompt")
    turn, between = TURNS[template], AFTER_TURN[template]
    system = turn.message("system", conversation.system) + turn.end + between if conversation.system else ""
    user = turn.message("user", conversation.turns[0][1]) + turn.end + between
    return (
        system + user + turn.message("assistant"),
        conversation.chosen + turn.end,
        conversation.rejected + turn.end,
    )
