"""Preset ``llamafactory``: LLaMA-Factory 0.9.5, with its chat templates by name or the tokenizer's as it reads it.

Every message is tokenised by itself, in the pieces of its template, and so are prompt and responses. ``max_length`` is
cutoff_len: it is divided between the prompt and the longer response, and each is cut at its end.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.conversation import Conversation, read_conversation
from dpo_analysis.data.presets.encoding import CutSide, EncodedPair, PresetSettings, encoded_pair
from dpo_analysis.data.presets.llamafactory_template import Template, named_template, template_of_tokenizer
from dpo_analysis.data.presets.rendering import RowProblem, batch_ids, render_rows
from dpo_analysis.data.presets.slots import Piece, joined_ids, joined_text, piece_texts


class PiecesOfRow(NamedTuple):
    """The pieces that are tokenised, in order: of the prompt and of each response."""

    prompt: list[Piece]
    chosen: list[Piece]
    rejected: list[Piece]


def encode_llamafactory(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as LLaMA-Factory 0.9.5 does, in the order of ``pairs``.

    A row that the trainer skips, because its turns do not alternate from user to user, is a ``template_error``.

    Raises:
        InputError: the tokenizer lacks a token of the template, or its chat template cannot be read.
    """
    name = settings.template
    template = named_template(name, tokenizer) if name else template_of_tokenizer(tokenizer)
    rendered = render_rows(pairs, tokenizer, lambda pair: _pieces(pair, template))
    rows = [row for row in rendered if isinstance(row, PiecesOfRow)]
    ids = batch_ids((text for row in rows for pieces in row for text in piece_texts(pieces)), tokenizer)
    return [
        row if isinstance(row, EncodedPair) else _encode_pieces(row, ids, template, tokenizer, settings)
        for row in rendered
    ]


def _encode_pieces(
    row: PiecesOfRow, ids: dict[str, np.ndarray], template: Template, tokenizer: Any, settings: PresetSettings
) -> EncodedPair:
    special = template.special_tokens(tokenizer)
    prompt, *responses = (joined_ids(pieces, ids, special) for pieces in row)
    n_prompt, n_response = cut_lengths(len(prompt), max(map(len, responses)), settings.max_length)
    sides = [
        CutSide(prompt[:n_prompt], response[:n_response], len(prompt) > n_prompt or len(response) > n_response)
        for response in responses
    ]
    texts = (joined_text(pieces, special) for pieces in row)
    return encoded_pair((next(texts), next(texts), next(texts)), prompt, sides)


def cut_lengths(n_prompt: int, n_response: int, limit: int | None) -> tuple[int, int]:
    """Return how many tokens of the prompt and of a response are kept within ``limit``, counted from their start.

    A short response takes from the prompt, a short prompt from the response; where neither is shorter than half of
    ``limit``, both are cut in proportion. ``n_response`` counts the tokens of the longer response.
    """
    if limit is None:
        return n_prompt, n_response
    if 2 * n_response < limit:
        longest_response = limit
    elif 2 * n_prompt < limit:
        longest_response = limit - n_prompt
    else:
        longest_response = int(limit * (n_response / (n_prompt + n_response)))
    kept_response = min(longest_response, n_response)
    return min(max(limit - kept_response, 0), n_prompt), kept_response


def _pieces(pair: Pair, template: Template) -> PiecesOfRow:
    conversation = read_conversation(pair, "LLaMA-Factory")
    roles = [role for role, _ in conversation.turns]
    if len(roles) % 2 == 0 or any(role != ("user", "assistant")[n % 2] for n, role in enumerate(roles)):
        raise RowProblem(
            "template_error", "LLaMA-Factory skips the row: its turns do not alternate from the user to the user"
        )
    system = conversation.system or template.default_system
    prompt = list(template.prefix)
    for n, (role, text) in enumerate(_turns(conversation, template)):
        first = n == 0 and bool(system)
        if first and template.kind == "llama2":
            text = template.system_text(system) + text
        elif first:
            prompt += template.system_pieces(system)
        prompt += template.user_pieces(text, n // 2) if role == "user" else template.assistant_pieces(text)
    return PiecesOfRow(prompt, *(_response(text, template) for text in (conversation.chosen, conversation.rejected)))


def _turns(conversation: Conversation, template: Template) -> list[tuple[str, str]]:
    """Return the turns of the prompt; earlier answers of a reasoning model lose their thoughts."""
    if template.kind != "reasoning":
        return conversation.turns
    return [
        (role, template.without_thought(text) if role == "assistant" else text) for role, text in conversation.turns
    ]


def _response(text: str, template: Template) -> list[Piece]:
    pieces = template.assistant_pieces(text)
    if template.kind == "reasoning" and not template.has_thought(text):
        # LLaMA-Factory's enable_thinking, true unless set: the empty thought is part of the answer and is scored.
        pieces = [template.empty_thought, *pieces]
    return [*pieces, *template.ending]
