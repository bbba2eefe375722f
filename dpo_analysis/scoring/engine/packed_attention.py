"""One attention function for packed rows, registered with transformers; no model is edited.

Segments of a row attend to themselves and to their shared context; nothing else exists for them, so no mask over the
whole row is ever built. transformers builds no mask for an attention name without a mask function.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from weakref import WeakSet

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface

from dpo_analysis.scoring.engine.packed_layout import Layout, Segment

NAME = "dpo_analysis_packed"
BLOCK = 64
"""Tokens of a segment taken at once on a CPU: what lies ahead of a block is then not multiplied, as one call would."""
_TELLING: WeakSet[nn.Module] = WeakSet()
"""Layers that told the function their window."""
_UNSUPPORTED = ("softcap", "s_aux", "sinks", "position_bias", "alibi")


@dataclass(frozen=True, slots=True)
class _Row:
    """The row that is being computed, and the masks that its layers have in common."""

    layout: Layout
    masks: dict[tuple[int, int, int], torch.Tensor] = field(default_factory=dict)

    def mask(self, length: int, past: int, span: int, like: torch.Tensor) -> torch.Tensor | None:
        """What ``length`` tokens see of ``past`` tokens and themselves, to be added to (length, past + length) scores.

        A token sees the last ``span`` tokens up to itself. None where plain causal order is enough.
        """
        if not past and span >= length:
            return None
        key = (length, past, span)
        if key not in self.masks:
            seen = torch.ones(length, past + length, dtype=torch.bool, device=like.device).tril(past)
            seen = seen.triu(past - span + 1)
            zeros = torch.zeros(seen.shape, dtype=like.dtype, device=like.device)
            self.masks[key] = zeros.masked_fill_(~seen, -torch.inf)
        return self.masks[key]


_ROW: ContextVar[_Row] = ContextVar("row")


class NotPackable(Exception):
    """This model's attention does something that packed rows do not reproduce; the message says what."""


@contextmanager
def packed_row(layout: Layout) -> Iterator[None]:
    """Within this context the registered attention function follows ``layout``."""
    token = _ROW.set(_Row(layout))
    try:
        yield
    finally:
        _ROW.reset(token)


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
    row = _ROW.get()
    for segment in row.layout.segments:
        keys, values = _visible(key, segment), _visible(value, segment)
        for first, last in _blocks(segment, query.device):
            past = keys.shape[2] - segment.stop + first  # visible tokens ahead of the block
            seen = past + last - first
            span = seen if sliding_window is None else min(sliding_window, seen)
            mask = row.mask(last - first, past, span, query)
            by_head[:, :, first:last] = F.scaled_dot_product_attention(
                query[:, :, first:last],
                keys[:, :, :seen],
                values[:, :, :seen],
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=grouped,
            )
    return out.unsqueeze(0), None


def _visible(states: torch.Tensor, segment: Segment) -> torch.Tensor:
    """Keys or values that ``segment`` may see: those of its context, then its own."""
    own = states[:, :, segment.start : segment.stop]
    if segment.context_start == segment.context_stop:
        return own
    return torch.cat([states[:, :, segment.context_start : segment.context_stop], own], dim=2)


def _blocks(segment: Segment, device: torch.device) -> list[tuple[int, int]]:
    """Places in the row where the queries of one call start and stop."""
    size = BLOCK if device.type == "cpu" else segment.stop - segment.start
    return [(first, min(first + size, segment.stop)) for first in range(segment.start, segment.stop, size)]


AttentionInterface.register(NAME, packed_attention)
