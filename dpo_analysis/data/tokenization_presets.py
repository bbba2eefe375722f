"""How a trainer turns a pair into token ids. ``trl`` is TRL 1.16, step by step; each preset is one function.

TRL 1.16 (``DPOTrainer._prepare_dataset``): end-of-text is appended as text to standard rows only; the prompt alone,
prompt + chosen and prompt + rejected are tokenised; the response starts where the tokens of the prompt alone and of
prompt + response part, which may be before the prompt's end when tokens merge over the border.
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
NOT_FOR_ROWS = frozenset(
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
"""Names that a row's ``chat_template_kwargs`` may not set: the trainer sets them, and would stop."""


class Texts(NamedTuple):
    """What is tokenised: the prompt alone and in front of each response."""

    prompt: str
    with_chosen: str
    with_rejected: str

    @property
    def border(self) -> int:
        """Characters that the prompt shares with both; the whole prompt, unless the template renders it otherwise."""
        if self.with_chosen.startswith(self.prompt) and self.with_rejected.startswith(self.prompt):
            return len(self.prompt)
        characters = zip(*self, strict=False)
        return next((place for place, met in enumerate(characters) if len(set(met)) > 1), min(map(len, self)))


@dataclass(frozen=True, slots=True)
class Encoded:
    """A pair's texts and ids before any truncation.

    Attributes:
        problem: empty, or the status that keeps the pair from being scored, and then there are no ids.
        reason: the sentence behind ``problem``.
        texts: what was tokenised; on a problem the bare contents.
        ids: int32 ids of the prompt alone and with each response, shape (tokens,) each.
        border: ids of the prompt that stand in front of the responses; the rest of the prompt belongs to them.
    """

    problem: str
    reason: str
    texts: Texts
    ids: tuple[np.ndarray, ...] = ()
    border: int = 0


def encode_trl(pairs: Sequence[Pair], tokenizer: Any) -> list[Encoded]:
    """Encode pairs as TRL 1.16's DPOTrainer does before truncation; order kept, nothing dropped.

    Raises:
        InputError: the tokenizer lacks the chat template or the end-of-text token that the pairs need.
    """
    drawn = [_draw(pair, tokenizer) for pair in pairs]
    ids: dict[int, tuple[np.ndarray, ...]] = {}
    for conversational in (False, True):
        rows = [
            row
            for row, encoded in enumerate(drawn)
            if not encoded.problem and pairs[row].conversational is conversational
        ]
        texts = [text for row in rows for text in drawn[row].texts]
        flat = _token_ids(texts, tokenizer, special=not conversational)
        ids |= {row: tuple(flat[3 * place : 3 * place + 3]) for place, row in enumerate(rows)}
    return [_with_ids(encoded, ids[row]) if row in ids else encoded for row, encoded in enumerate(drawn)]


def shared_length(ids: np.ndarray, others: np.ndarray) -> int:
    """How many leading tokens two sequences share."""
    shorter = min(len(ids), len(others))
    differing = np.flatnonzero(ids[:shorter] != others[:shorter])
    return int(differing[0]) if differing.size else shorter


def _with_ids(encoded: Encoded, ids: tuple[np.ndarray, ...]) -> Encoded:
    border = min(shared_length(ids[0], ids[1]), shared_length(ids[0], ids[2]))
    return Encoded("", "", encoded.texts, ids, border)


def _token_ids(texts: list[str], tokenizer: Any, *, special: bool) -> list[np.ndarray]:
    if not texts:
        return []
    found = tokenizer(
        texts, add_special_tokens=special, return_attention_mask=False, return_token_type_ids=False, verbose=False
    )
    return [np.asarray(ids, dtype=np.int32) for ids in found["input_ids"]]


def _draw(pair: Pair, tokenizer: Any) -> Encoded:
    bare = Texts(*(_contents(side) for side in (pair.prompt, pair.chosen, pair.rejected)))
    bare = Texts(bare.prompt, bare.prompt + bare.with_chosen, bare.prompt + bare.with_rejected)
    if pair.problem:
        return Encoded(pair.problem, "the text holds lone surrogates", bare)
    empty = [name for name in ("chosen", "rejected") if _is_empty(getattr(pair, name), tokenizer)]
    if empty:
        return Encoded("empty", f"{empty[0]} is empty", bare)
    if not pair.conversational:
        return Encoded("", "", _standard_texts(pair, tokenizer))
    try:
        return Encoded("", "", _rendered_texts(pair, tokenizer))
    except jinja2.TemplateSyntaxError as error:
        raise InputError(
            f"broken chat template in the tokenizer: {error.message} at line {error.lineno}; "
            "give another with --chat-template FILE"
        ) from error
    except TEMPLATE_ERRORS as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        return Encoded("template_error", f"the chat template fails: {why}", bare)


def _standard_texts(pair: Pair, tokenizer: Any) -> Texts:
    eos = tokenizer.eos_token
    if eos is None:
        raise InputError("no end-of-text token in the tokenizer: TRL ends every text row with it; set its eos_token")
    sides = (side if side.endswith(eos) else side + eos for side in (str(pair.chosen), str(pair.rejected)))
    return Texts(str(pair.prompt), *(str(pair.prompt) + side for side in sides))


def _rendered_texts(pair: Pair, tokenizer: Any) -> Texts:
    if not tokenizer.chat_template:
        raise InputError(
            f"no chat template in the tokenizer: {pair.where} is conversational and needs one; "
            "give it with --chat-template FILE"
        )
    taken = NOT_FOR_ROWS.intersection(pair.chat_template_kwargs)
    if taken:
        raise ValueError(f"chat_template_kwargs may not set {min(taken)}")
    prompt, chosen, rejected = list(pair.prompt), list(pair.chosen), list(pair.rejected)
    prompts = ((prompt, True), (prompt + chosen, False), (prompt + rejected, False))
    return Texts(
        *(
            tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=generation,
                tools=pair.tools,
                **pair.chat_template_kwargs,
            )
            for messages, generation in prompts
        )
    )


def _is_empty(side: str | list[dict[str, Any]], tokenizer: Any) -> bool:
    """Nothing was answered: no text but white space and end-of-text, and no tool call."""
    if isinstance(side, str):
        return not side.removesuffix(tokenizer.eos_token or "").strip()
    return not any(message.get("tool_calls") or _contents([message]).strip() for message in side)


def _contents(side: str | list[dict[str, Any]]) -> str:
    """The bare words of a side, for rows that are shown but not tokenised."""
    if isinstance(side, str):
        return side
    texts = []
    for message in side:
        content = message.get("content") or ""
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [str(part.get("text") or "") if isinstance(part, dict) else str(part) for part in parts]
    return "\n".join(texts)


PRESETS: dict[str, Callable[[Sequence[Pair], Any], list[Encoded]]] = {"trl": encode_trl}
