"""Tokenization as trainers do it, each in a function of ``PRESETS``; ``trl`` follows TRL 1.16 step by step.

TRL 1.16 (``DPOTrainer._prepare_dataset``) appends end-of-text as text to standard rows only. It tokenises the prompt
alone, prompt + chosen and prompt + rejected. A response starts at the first token in which the prompt alone and
prompt + response differ; that is before the prompt's end when the tokenizer merges its last characters with the first
of the response. Such a merged token was trained as part of the response, so it is scored with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jinja2
import numpy as np

from dpo_analysis.data.pairs import Pair
from dpo_analysis.errors import InputError

TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
RESERVED_TEMPLATE_KWARGS = frozenset(
    {
        "add_generation_prompt",
        "conversation",
        "max_length",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    }
)
"""Names that a row's ``chat_template_kwargs`` may not set: the trainer sets them itself and would stop."""


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


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts and token ids of a pair before truncation.

    Attributes:
        problem: empty, or the status for which the pair is not scored; then there are no ids.
        reason: a sentence that explains ``problem``.
        texts: the texts that were tokenised; with a problem, the contents without a template.
        ids: int32 ids of the prompt alone, prompt + chosen and prompt + rejected, shape (tokens,) each.
        border: number of prompt tokens before both responses; later prompt tokens count as response.
    """

    problem: str
    reason: str
    texts: RenderedTexts
    ids: tuple[np.ndarray, ...] = ()
    border: int = 0


def encode_trl(pairs: Sequence[Pair], tokenizer: Any) -> list[Encoded]:
    """Encode every pair as TRL 1.16's DPOTrainer does before truncation, in the order of ``pairs``.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    rendered = [_render(pair, tokenizer) for pair in pairs]
    ids: dict[int, tuple[np.ndarray, ...]] = {}
    # Chat templates write special tokens themselves; standard rows get the tokenizer's (bos). Hence two calls.
    for conversational in (False, True):
        rows = [
            row
            for row, encoded in enumerate(rendered)
            if not encoded.problem and pairs[row].conversational is conversational
        ]
        texts = [text for row in rows for text in rendered[row].texts]
        token_ids = _token_ids(texts, tokenizer, add_special_tokens=not conversational)
        # three texts per row: the prompt alone, prompt + chosen, prompt + rejected
        ids |= {row: tuple(token_ids[3 * index : 3 * index + 3]) for index, row in enumerate(rows)}
    return [_with_token_ids(encoded, ids[row]) if row in ids else encoded for row, encoded in enumerate(rendered)]


def shared_prefix_length(first: np.ndarray, second: np.ndarray) -> int:
    """Return the number of leading token ids that two sequences, shape (tokens,) each, share."""
    shorter = min(len(first), len(second))
    differing = np.flatnonzero(first[:shorter] != second[:shorter])
    return int(differing[0]) if differing.size else shorter


def _with_token_ids(encoded: Encoded, ids: tuple[np.ndarray, ...]) -> Encoded:
    border = min(shared_prefix_length(ids[0], ids[1]), shared_prefix_length(ids[0], ids[2]))
    return Encoded("", "", encoded.texts, ids, border)


def _token_ids(texts: list[str], tokenizer: Any, *, add_special_tokens: bool) -> list[np.ndarray]:
    if not texts:
        return []
    encoding = tokenizer(
        texts,
        add_special_tokens=add_special_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return [np.asarray(ids, dtype=np.int32) for ids in encoding["input_ids"]]


def _render(pair: Pair, tokenizer: Any) -> Encoded:
    prompt, chosen, rejected = (_plain_text(side) for side in (pair.prompt, pair.chosen, pair.rejected))
    plain_texts = RenderedTexts(prompt, prompt + chosen, prompt + rejected)
    if pair.problem:
        return Encoded(pair.problem, "the text holds lone surrogates", plain_texts)
    empty = [name for name in ("chosen", "rejected") if _is_empty(getattr(pair, name), tokenizer)]
    if empty:
        return Encoded("empty", f"{empty[0]} is empty", plain_texts)
    if not pair.conversational:
        return Encoded("", "", _standard_texts(pair, tokenizer))
    try:
        return Encoded("", "", _conversational_texts(pair, tokenizer))
    except jinja2.TemplateSyntaxError as error:
        raise InputError(
            f"broken chat template in the tokenizer: {error.message} at line {error.lineno}; "
            "give another with --chat-template FILE"
        ) from error
    except TEMPLATE_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return Encoded("template_error", f"the chat template fails: {reason}", plain_texts)


def _standard_texts(pair: Pair, tokenizer: Any) -> RenderedTexts:
    eos = tokenizer.eos_token
    if eos is None:
        raise InputError("no end-of-text token in the tokenizer: TRL ends every text row with it; set its eos_token")
    sides = (side if side.endswith(eos) else side + eos for side in (str(pair.chosen), str(pair.rejected)))
    return RenderedTexts(str(pair.prompt), *(str(pair.prompt) + side for side in sides))


def _conversational_texts(pair: Pair, tokenizer: Any) -> RenderedTexts:
    if not tokenizer.chat_template:
        raise InputError(
            f"no chat template in the tokenizer: {pair.where} is conversational and needs one; "
            "give it with --chat-template FILE"
        )
    reserved = RESERVED_TEMPLATE_KWARGS.intersection(pair.chat_template_kwargs)
    if reserved:
        raise ValueError(f"chat_template_kwargs may not set {min(reserved)}")
    prompt, chosen, rejected = list(pair.prompt), list(pair.chosen), list(pair.rejected)
    # Only the prompt alone ends with the header of the assistant's turn: the responses bring theirs.
    conversations = ((prompt, True), (prompt + chosen, False), (prompt + rejected, False))
    return RenderedTexts(
        *(
            tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                tools=pair.tools,
                **pair.chat_template_kwargs,
            )
            for messages, add_generation_prompt in conversations
        )
    )


def _is_empty(side: str | list[dict[str, Any]], tokenizer: Any) -> bool:
    """Return whether a response has no text but white space and end-of-text, and no tool call."""
    if isinstance(side, str):
        return not side.removesuffix(tokenizer.eos_token or "").strip()
    return not any(message.get("tool_calls") or _plain_text([message]).strip() for message in side)


def _plain_text(side: str | list[dict[str, Any]]) -> str:
    """Return the text of a side without template, for pairs that are shown but not tokenised."""
    if isinstance(side, str):
        return side
    texts = []
    for message in side:
        content = message.get("content") or ""
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [str(part.get("text") or "") if isinstance(part, dict) else str(part) for part in parts]
    return "\n".join(texts)


PRESETS: dict[str, Callable[[Sequence[Pair], Any], list[Encoded]]] = {"trl": encode_trl}
