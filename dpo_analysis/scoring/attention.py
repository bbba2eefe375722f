"""One attention function for packed rows, registered with transformers; no model is edited.

Segments of a row attend to themselves and to their shared context; nothing else exists for them, so no mask over the
whole row is ever built. transformers builds no mask for an attention name without a mask function.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakSet

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface

from dpo_analysis.scoring.layout import Layout, Segment

NAME = "dpo_analysis_packed"
_LAYOUT: ContextVar[Layout] = ContextVar("layout")
_TELLING: WeakSet[nn.Module] = WeakSet()
"""Layers that told the function their window."""
_UNSUPPORTED = ("softcap", "s_aux", "sinks", "position_bias", "alibi")


class NotPackable(Exception):
    """This model's attention does something that packed rows do not reproduce; the message says what."""


@contextmanager
def packed_row(layout: Layout) -> Iterator[None]:
    """Within this context the registered attention function follows ``layout``."""
    token = _LAYOUT.set(layout)
    try:
        yield
    finally:
        _LAYOUT.reset(token)


@contextmanager
def packing(model: nn.Module) -> Iterator[None]:
    """``model`` with this room's attention function; afterwards with its own again.

    Raises:
        NotPackable: it has a window that its attention layers do not tell the function.
        ValueError: it does not let its attention be chosen.
    """
    before = model.config._attn_implementation  # type: ignore[union-attr]
    model.set_attn_implementation(NAME)  # type: ignore[operator]
    try:
        yield
    finally:
        model.set_attn_implementation(before)  # type: ignore[operator]
    _refuse_hidden_window(model)


def _refuse_hidden_window(model: nn.Module) -> None:
    """A short self-check cannot see a window of thousands of tokens that only the model's own mask knows of."""
    config = model.config.get_text_config()  # type: ignore[union-attr, operator]
    if getattr(config, "attention_chunk_size", None):
        raise NotPackable("attention in chunks")
    kinds = getattr(config, "layer_types", None) or []
    on = getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None)
    if ("sliding_attention" in kinds or (on and not kinds)) and not any(one in _TELLING for one in model.modules()):
        raise NotPackable("a sliding window that its attention layers do not tell")


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **options: object,
) -> tuple[torch.Tensor, None]:
    """Attention of one packed row, in the signature that transformers calls.

    Args:
        module: the attention layer.
        query: (1, heads, T, head_dim).
        key: (1, key_value_heads, T, head_dim).
        value: (1, key_value_heads, T, value_dim).
        attention_mask: None for packed rows.
        scaling: factor on the scores; None means 1 / sqrt(head_dim).
        sliding_window: a token sees at most this many tokens, itself among them.
        options: what else a model passes; options that change scores are refused.

    Returns:
        (1, T, heads, value_dim) and None for the weights.

    Raises:
        NotPackable: the layer soft-caps scores, has sinks or a position bias, or was given a mask.
    """
    used = [name for name in _UNSUPPORTED if options.get(name) is not None]
    if used or attention_mask is not None:
        raise NotPackable(f"attention with {', '.join(used) or 'a mask of its own'}")
    if sliding_window is not None:
        _TELLING.add(module)
    out = query.new_empty(query.shape[2], query.shape[1], value.shape[-1])  # (T, heads, value_dim)
    by_head = out.transpose(0, 1).unsqueeze(0)  # (1, heads, T, value_dim)
    grouped = query.shape[1] != key.shape[1]
    for segment in _LAYOUT.get().segments:
        here = slice(segment.start, segment.stop)
        keys, values, mask = _visible(key, value, segment, sliding_window)
        by_head[:, :, here] = F.scaled_dot_product_attention(
            query[:, :, here], keys, values, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
        )
    return out.unsqueeze(0), None


def _visible(
    key: torch.Tensor, value: torch.Tensor, segment: Segment, window: int | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Keys and values a segment may see, and a (segment, visible) mask where plain causal order is not enough."""
    here = slice(segment.start, segment.stop)
    before = segment.context_stop - segment.context_start
    length = segment.stop - segment.start
    if not before:
        keys, values = key[:, :, here], value[:, :, here]
    else:
        context = slice(segment.context_start, segment.context_stop)
        keys = torch.cat([key[:, :, context], key[:, :, here]], dim=2)
        values = torch.cat([value[:, :, context], value[:, :, here]], dim=2)
    span = before + length if window is None else window
    if not before and span >= length:
        return keys, values, None
    mask = torch.ones(length, before + length, dtype=torch.bool, device=key.device).tril(before)
    if span < before + length:
        mask = mask.triu(before - span + 1)
    return keys, values, mask


AttentionInterface.register(NAME, packed_attention)
