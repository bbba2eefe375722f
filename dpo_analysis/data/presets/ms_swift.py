"""Preset ``ms-swift``: ms-swift 4.6.0 with its chat templates by name; the last answer of a conversation is scored.

The texts of the prompt are joined and tokenised, and so are those of the answer with what ends it. ``truncation`` is
truncation_strategy: ``delete`` drops a row that is longer than max_length, ``right`` (``keep_start``) and ``left``
(``keep_end``) cut it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.conversation import Conversation, read_conversation
from dpo_analysis.data.presets.encoding import EncodedPair, PresetSettings, encoded_pair
from dpo_analysis.data.presets.ms_swift_template import Context, Template, named_template
from dpo_analysis.data.presets.rendering import RowProblem, batch_ids, render_rows
from dpo_analysis.data.presets.trl import cut_sequence
from dpo_analysis.errors import InputError

TRUNCATIONS = {"right": "keep_start", "left": "keep_end"}
"""ms-swift's names of truncation -> those of the other presets."""


class AddedIds(NamedTuple):
    """The ids that the tokenizer puts in front of a text and behind it."""

    front: list[int]
    behind: list[int]


class ContextsOfRow(NamedTuple):
    """The contexts of the prompt and of each answer; neighbouring texts are joined."""

    prompt: list[Context]
    chosen: list[Context]
    rejected: list[Context]


def encode_ms_swift(pairs: Sequence[Pair], tokenizer: Any, settings: PresetSettings) -> list[EncodedPair]:
    """Encode every pair as ms-swift 4.6.0 does, in the order of ``pairs``.

    A row at which the trainer stops, which it then skips, is a ``template_error``.

    Raises:
        InputError: no template is named, or the tokenizer lacks an id that it needs.
    """
    if settings.template is None:
        raise InputError(
            "no template for ms-swift: it renders rows by the name of a template, which is in the args.json of its "
            "folder; give it as --template NAME"
        )
    template = named_template(settings.template, tokenizer)
    added = _added_ids(tokenizer) if template.add_bos else AddedIds([], [])
    rendered = render_rows(pairs, tokenizer, lambda pair: _contexts(pair, template, added))
    rows = [row for row in rendered if isinstance(row, ContextsOfRow)]
    ids = batch_ids((c for row in rows for contexts in row for c in contexts if isinstance(c, str)), tokenizer)
    return [row if isinstance(row, EncodedPair) else _encode(row, ids, tokenizer, settings) for row in rendered]


def _encode(row: ContextsOfRow, ids: dict[str, np.ndarray], tokenizer: Any, settings: PresetSettings) -> EncodedPair:
    prompt, *answers = (_joined_ids(contexts, ids) for contexts in row)
    texts = (
        _joined_text(row.prompt, tokenizer),
        _joined_text(row.chosen, tokenizer),
        _joined_text(row.rejected, tokenizer),
    )
    limit, longest = settings.max_length, len(prompt) + max(map(len, answers))
    if settings.truncation == "delete" and limit is not None and longest > limit:
        return EncodedPair(*texts, {}, prompt, "too_long", f"the row has {longest} tokens, max_length is {limit}")
    kept_side = TRUNCATIONS.get(settings.truncation, settings.truncation)
    sides = [cut_sequence(np.concatenate([prompt, answer]), len(prompt), limit, kept_side) for answer in answers]
    return encoded_pair(texts, prompt, sides)


def _contexts(pair: Pair, template: Template, added: AddedIds) -> ContextsOfRow:
    conversation = read_conversation(pair, "ms-swift")
    if conversation.system is not None and not template.takes_system:
        raise RowProblem("template_error", "ms-swift skips the row: the template takes no system message")
    if pair.chat_template_kwargs:
        raise RowProblem("template_error", "chat_template_kwargs of a row are not read for ms-swift")
    system = conversation.system if conversation.system is not None else template.default_system
    turns = _turns(conversation)
    if template.system_in_first_turn and system is not None:
        turns[0] = (f"{system}\n\n{turns[0][0]}", turns[0][1])
        system = None
    if template.separator is None:
        turns = turns[-1:]
    prefix = template.prefix if template.system_in_last_turn or not system else template.system_prefix
    prompt = [added.front, *_filled(prefix or [], SYSTEM=system)]
    for n, (query, answer) in enumerate(turns):
        last = n == len(turns) - 1
        contexts = template.system_in_last_turn if last and template.system_in_last_turn else template.prompt
        prompt += _filled(contexts, SYSTEM=system, QUERY=query, ROUND0=str(n), ROUND1=str(n + 1))
        if not last:
            prompt += [template.earlier_answer(answer), *(template.separator or [])]
    answers = (_answer(text, template, added) for text in (conversation.chosen, conversation.rejected))
    return ContextsOfRow(_joined(prompt), *answers)


def _turns(conversation: Conversation) -> list[tuple[str, str]]:
    """Return (query, answer) of each turn; the last answer is empty.

    Neighbouring messages of the user are joined, and a conversation that begins with an answer gets an empty query.
    """
    messages: list[tuple[str, str]] = []
    for role, text in conversation.turns or [("user", "")]:
        if role == "assistant" and not messages:
            messages.append(("user", ""))
        if messages and messages[-1][0] == role:
            if role == "assistant":
                raise RowProblem(
                    "template_error", "two answers follow each other: ms-swift joins them, which this preset cannot"
                )
            messages[-1] = (role, messages[-1][1] + text)
        else:
            messages.append((role, text))
    if messages[-1][0] == "assistant":
        raise RowProblem(
            "template_error",
            "the prompt ends with an answer: ms-swift joins it with the response, which this preset cannot",
        )
    texts = [text for _, text in messages]
    return list(zip(texts[::2], [*texts[1::2], ""], strict=True))


def _answer(text: str, template: Template, added: AddedIds) -> list[Context]:
    answer = template.answer(text)
    suffix = [] if added.behind or answer.endswith(template.stop_words) else template.suffix
    return _joined([answer, *suffix, added.behind])


def _added_ids(tokenizer: Any) -> AddedIds:
    """Return the ids that the tokenizer puts around a text.

    Raises:
        InputError: it does not take the letter a as a single token, where ms-swift stops.
    """
    whole, alone = tokenizer.encode("a"), tokenizer.encode("a", add_special_tokens=False)
    if len(alone) != 1:
        raise InputError("the tokenizer has no token for the letter a: ms-swift stops at it; choose another template")
    position = whole.index(alone[0])
    return AddedIds(whole[:position], whole[position + 1 :])


def _filled(contexts: Sequence[Context], **values: str | None) -> list[Context]:
    filled: list[Context] = []
    for context in contexts:
        if isinstance(context, str):
            for name, value in values.items():
                context = context if value is None else context.replace("{{" + name + "}}", value)
        filled.append(context)
    return filled


def _joined(contexts: Sequence[Context]) -> list[Context]:
    """Return the contexts without empty ones, neighbouring texts as a single text."""
    joined: list[Context] = []
    for context in contexts:
        if isinstance(context, str) and joined and isinstance(joined[-1], str):
            joined[-1] += context
        elif context:
            joined.append(context)
    return joined


def _joined_ids(contexts: Sequence[Context], ids: dict[str, np.ndarray]) -> np.ndarray:
    empty = np.empty(0, dtype=np.int32)
    return np.concatenate([empty, *(ids[c] if isinstance(c, str) else np.array(c, dtype=np.int32) for c in contexts)])


def _joined_text(contexts: Sequence[Context], tokenizer: Any) -> str:
    return "".join(context if isinstance(context, str) else tokenizer.decode(context) for context in contexts)
