"""What the texts and columns of a row give away before any token is made: chat markers, unused columns, other turns."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dpo_analysis.data.pairs import Pair, pairs_of_values
from dpo_analysis.data.shapes.registry import SHAPES
from dpo_analysis.errors import InputError

TEXT_WARNINGS = ("unused_text", "markers", "serialised", "prompt_inside", "user_turns", "unused_logps")
"""The warnings that the texts and columns of a row give; ``check.complaint.<name>`` in ``words`` says each."""
MARKER = re.compile(
    r"<\|(?:im_start|im_end|im_sep|begin_of_text|end_of_text|endoftext|startoftext|start_header_id|end_header_id|eot_id"
    r"|eom_id|system|user|assistant|human|bot|end|pad|bos|eos|end_of_turn|start_of_turn)\|>"
    r"|<[｜|](?:begin|end)[▁_ ]of[▁_ ]sentence[｜|]>|<[｜|](?:User|Assistant)[｜|]>"
    r"|<(?:start|end)_of_turn>|</?s>|<(?:bos|eos|pad)>|\[/?INST\]|<</?SYS>>"
    r"|^###\s*(?:Instruction|Input|Response|Human|User|Assistant)\s*:|(?:^|\n\n)(?:Human|Assistant):\s",
    re.MULTILINE,
)
"""Tokens and headings by which chat templates mark turns, begin-of-text and end-of-text."""
LAST_MARKER = re.compile(
    r"(?:<\|(?:im_end|eot_id|end_of_text|endoftext|eom_id|end)\|>|</s>|<eos>|<end_of_turn>"
    r"|<[｜|]end[▁_ ]of[▁_ ]sentence[｜|]>)\s*\Z"
)
"""An end-of-text token behind a plain-text response, where it belongs: no template puts it there."""
SERIALISED = re.compile(r"""\A\s*\[?\s*\{\s*["'](?:role|content|from|value)["']\s*:""")
"""The beginning of a message list that was written out as a text."""
LOGPS = re.compile(r"\A(?:ref|reference)_\w*logps?\Z|\A(?:ref|reference)_logps?_\w+\Z")
"""Columns of log-probs of the reference that a trainer computed in advance."""
CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
LEAST_WORDS, LEAST_CJK = 3, 6
"""Words of a text, or letters of Chinese, Japanese or Korean, from which on a column may be a prompt."""
LEAST_PROMPT = 12
"""Letters of a prompt that a response must repeat: shorter ones stand in it by chance."""
TURN_KEYS = frozenset(("role", "from", "content", "human", "user", "assistant"))
"""Keys of an object that is a turn of a conversation."""
PROMPT_PARTS = (
    "system",
    "system_prompt",
    "system_message",
    "context",
    "instruction",
    "input",
    "passage",
    "document",
    "initial_reason_steps",
)
"""Columns that are a part of the prompt beside the column that holds the rest; the last is Step-DPO's."""
SHAPE_NAMES = frozenset(shape.name for shape in SHAPES)
NO_PROMPT = ("chosen", "rejected", "prompt")


def text_flags(pair: Pair) -> dict[str, bool]:
    """Return which of ``TEXT_WARNINGS`` a pair gives."""
    pair = pair.decompressed()
    responses = [*_texts(pair.chosen), *_texts(pair.rejected)]
    return {
        "unused_text": bool(unused_text_columns(pair)),
        "markers": any(_has_marker(text, conversational=pair.conversational) for text in responses),
        "serialised": any(SERIALISED.match(text) for text in (*responses, *_texts(pair.prompt))),
        "prompt_inside": _repeats_prompt(pair, responses),
        "user_turns": _user_turns(pair.chosen) != _user_turns(pair.rejected),
        "unused_logps": any(LOGPS.match(name) for name in pair.source),
    }


def source_flags(source: Mapping[str, Any]) -> dict[str, bool] | None:
    """Return which of ``TEXT_WARNINGS`` any pair of a row gives; None where the row is in no known shape.

    Args:
        source: the row as it was read.
    """
    try:
        pairs = pairs_of_values(dict(source))
    except InputError:
        return None
    flags = [text_flags(pair) for pair in pairs]
    return {name: any(flag[name] for flag in flags) for name in TEXT_WARNINGS}


def unused_text_columns(pair: Pair) -> list[str]:
    """Return the columns of text or turns that nothing uses although the prompt, or a part of it, may stand in them.

    Of a row with a prompt these are only columns whose name says so, such as ``context``, and of a row whose columns
    the user named none.
    """
    if pair.has_prompt_column or (pair.conversational and pair.prompt):
        return _parts_left_out(pair)
    used = {*NO_PROMPT, *(() if pair.reading is None else (*pair.reading.prompt, pair.reading.chosen))}
    responses = "\n".join([*_texts(pair.prompt), *_texts(pair.chosen), *_texts(pair.rejected)])
    return [
        name
        for name, value in pair.source.items()
        if name not in used and (_is_unused_text(value, responses) or _is_conversation(value))
    ]


def _parts_left_out(pair: Pair) -> list[str]:
    if pair.reading is not None and pair.reading.shape not in SHAPE_NAMES:
        return []
    # a text that was used stands in the prompt, and a system text that gave way to the system message does not
    values = {name: pair.source.get(name) for name in PROMPT_PARTS}
    beside = {name: value.strip() for name, value in values.items() if isinstance(value, str) and value.strip()}
    if not beside:
        return []
    texts = "\n".join([*_texts(pair.prompt), *_texts(pair.chosen), *_texts(pair.rejected)])
    return [name for name, text in beside.items() if text not in texts]


def is_raw_text(pair: Pair, prompt: str) -> bool:
    """Return whether a pair is plain text that no chat template rendered, neither here nor before.

    Args:
        pair: the pair.
        prompt: the text in front of its responses that became tokens.
    """
    return not pair.conversational and prompt == pair.prompt and MARKER.search(prompt) is None


def _is_unused_text(value: Any, responses: str) -> bool:
    return isinstance(value, str) and _reads_like_a_prompt(value) and value.strip() not in responses


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(turn, dict) and not TURN_KEYS.isdisjoint(turn) for turn in value)


def _reads_like_a_prompt(text: str) -> bool:
    return len(text.split()) >= LEAST_WORDS or len(CJK.findall(text)) >= LEAST_CJK


def _texts(side: Any) -> Iterator[str]:
    """Yield a text, or the texts of messages."""
    if isinstance(side, str):
        yield side
        return
    for message in side:
        content = message.get("content")
        if isinstance(content, str):
            yield content


def _has_marker(text: str, *, conversational: bool) -> bool:
    body = text if conversational else LAST_MARKER.sub("", text)
    return MARKER.search(body) is not None


def _repeats_prompt(pair: Pair, responses: list[str]) -> bool:
    """Return whether a response holds the whole prompt: a text, or the last message before it."""
    asked = list(_texts(pair.prompt))[-1:] if pair.has_prompt_column or pair.conversational else []
    text = asked[0].strip() if asked else ""
    return len(text) >= LEAST_PROMPT and any(text in response for response in responses)


def _user_turns(side: Any) -> list[Any]:
    return [] if isinstance(side, str) else [item.get("content") for item in side if item["role"] == "user"]
