"""Texts of pairs, by the tokenizer's chat template or without, and the status of a pair that cannot be rendered."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import jinja2
import numpy as np

from dpo_analysis.data.bounded_worker import BoundedWorker, LimitReached
from dpo_analysis.data.pairs import Pair
from dpo_analysis.data.presets.encoding import EncodedPair
from dpo_analysis.errors import InputError
from dpo_analysis.schema import SIDES

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

MAX_CHARACTERS = 2**26
"""Characters of a rendered conversation: a template that writes more does not render it."""
Rendered = TypeVar("Rendered")
Message = dict[str, Any]
PairValues = tuple[Any, ...]
Workers = dict[str, BoundedWorker[PairValues, Any]]
_WORKERS: ContextVar[Workers | None] = ContextVar("workers", default=None)
"""The child process that renders, once there is one; None outside ``one_worker``."""


class RowProblem(Exception):
    """A pair cannot be rendered; ``args`` are a status of ``schema.NOT_SCORED`` and a sentence that says why."""


@contextmanager
def one_worker() -> Iterator[None]:
    """Render all conversations of the block in one child process with limits, as templates come from anywhere.

    All calls of ``render_rows`` in the block must have the same tokenizer, and functions that do the same.
    """
    workers: Workers = {}
    token = _WORKERS.set(workers)
    try:
        yield
    finally:
        _WORKERS.reset(token)
        for worker in workers.values():
            worker.close()


def render_rows(
    pairs: Sequence[Pair], tokenizer: Any, render: Callable[[Pair], Rendered]
) -> list[Rendered | EncodedPair]:
    """Return what ``render`` makes of each pair, or an ``EncodedPair`` with the status for which it is not scored.

    Raises:
        InputError: the tokenizer lacks what the pairs need, or its chat template needs too much time or memory.
    """
    conversations = [pair for pair in pairs if pair.conversational]
    rendered = iter(_render_bounded(conversations, tokenizer, render))
    return [next(rendered) if pair.conversational else _render_row(pair, tokenizer, render) for pair in pairs]


def _render_bounded(
    pairs: Sequence[Pair], tokenizer: Any, render: Callable[[Pair], Rendered]
) -> list[Rendered | EncodedPair]:
    workers = _WORKERS.get()
    if workers is None or not pairs:
        return [_render_row(pair, tokenizer, render) for pair in pairs]
    if "chat template" not in workers:
        workers["chat template"] = BoundedWorker(lambda values: _render_row(_pair_of(values), tokenizer, render))
    try:
        return workers["chat template"].map([_values_of(pair) for pair in pairs])
    except LimitReached as error:
        where = pairs[error.index].where
        raise InputError(
            f"the chat template of the tokenizer cannot be used: on {where} {error.excess}; give another with "
            "--chat-template FILE"
        ) from None


def _values_of(pair: Pair) -> PairValues:
    """Return what rendering needs of a pair as plain values, which reach another process five times as fast."""
    sides = (pair.prompt, pair.chosen, pair.rejected)
    return (*sides, pair.tools, pair.chat_template_kwargs, pair.where, pair.problem, pair.has_prompt_column)


def _pair_of(values: PairValues) -> Pair:
    """Return a pair for rendering alone, without id, split and the other columns of its row."""
    prompt, chosen, rejected, tools, template_kwargs, where, problem, has_prompt_column = values
    source = {"prompt": prompt} if has_prompt_column else {}
    return Pair("", "", prompt, chosen, rejected, tools, template_kwargs, source, where, problem)


def _render_row(pair: Pair, tokenizer: Any, render: Callable[[Pair], Rendered]) -> Rendered | EncodedPair:
    try:
        if pair.problem:
            raise RowProblem(pair.problem, "the text holds lone surrogates")
        for name in SIDES:
            if _is_empty(getattr(pair, name), tokenizer):
                raise RowProblem("empty", f"{name} is empty")
        return render(pair)
    except RowProblem as error:
        status, reason = error.args
        prompt, chosen, rejected = (plain_text(side) for side in (pair.prompt, pair.chosen, pair.rejected))
        return EncodedPair(prompt, chosen, rejected, problem=status, reason=reason)


def messages_of(pair: Pair) -> tuple[list[Message], list[Message], list[Message]]:
    """Return the messages of prompt, chosen and rejected of a conversational pair."""
    sides = (list(pair.prompt), list(pair.chosen), list(pair.rejected))
    return cast("tuple[list[Message], list[Message], list[Message]]", sides)


def apply_template(
    tokenizer: Any, pair: Pair, messages: list[Message], *, row_kwargs: bool = True, **keywords: Any
) -> str:
    """Return ``messages`` as the tokenizer's chat template renders them.

    Args:
        tokenizer: a transformers tokenizer.
        pair: the pair that the messages belong to.
        messages: role and content each.
        row_kwargs: whether the trainer passes the row's ``chat_template_kwargs`` on.
        **keywords: what the trainer itself passes to ``apply_chat_template``.

    Raises:
        InputError: the tokenizer has no chat template, or a broken one.
        RowProblem: the template fails on these messages.
    """
    if not tokenizer.chat_template:
        raise InputError(
            f"no chat template in the tokenizer: {pair.where} is conversational and needs one; "
            "give it with --chat-template FILE"
        )
    given = pair.chat_template_kwargs if row_kwargs else {}
    if reserved := (RESERVED_TEMPLATE_KWARGS | keywords.keys()).intersection(given):
        raise RowProblem("template_error", f"the chat template fails: chat_template_kwargs may not set {min(reserved)}")
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, **keywords, **given)
    except jinja2.TemplateSyntaxError as error:
        raise InputError(
            f"broken chat template in the tokenizer: {error.message} at line {error.lineno}; "
            "give another with --chat-template FILE"
        ) from error
    except TEMPLATE_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RowProblem("template_error", f"the chat template fails: {reason}") from error
    if len(text) > MAX_CHARACTERS:
        raise RowProblem("template_error", f"the chat template fails: it writes {len(text):,} characters")
    return text


def batch_ids(texts: Iterable[str], tokenizer: Any, *, add_special_tokens: bool = False) -> dict[str, np.ndarray]:
    """Return the token ids of each text, int32 of shape (tokens,), from one call of the tokenizer."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return {}
    encoding = tokenizer(
        distinct,
        add_special_tokens=add_special_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    ids = (np.asarray(ids, dtype=np.int32) for ids in encoding["input_ids"])
    return dict(zip(distinct, ids, strict=True))


def _is_empty(side: str | list[Message], tokenizer: Any) -> bool:
    """Return whether a response has no text but white space and end-of-text, and no tool call."""
    if isinstance(side, str):
        return not side.removesuffix(tokenizer.eos_token or "").strip()
    return not any(message.get("tool_calls") or plain_text([message]).strip() for message in side)


def plain_text(side: str | list[Message]) -> str:
    """Return the text of a side without template, for pairs that are shown but not tokenised."""
    if isinstance(side, str):
        return side
    texts = []
    for message in side:
        content = message.get("content") or ""
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [str(part.get("text") or "") if isinstance(part, dict) else str(part) for part in parts]
    return "\n".join(texts)


def shared_beginning(first: str, second: str) -> str:
    """Return the characters with which both texts begin."""
    if second.startswith(first):
        return first
    return first[: next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(second))]
