"""An attention function for packed rows, registered with transformers under a name; no model is edited.

The segments of a row attend to themselves and to their shared context and to nothing else, so no mask over the whole
row is ever built. transformers builds no mask either for an attention name without a mask function.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface

from dpo_analysis.scoring.engine.model_errors import NotPackable, model_code
from dpo_analysis.scoring.engine.packed_layout import Layout, Segment

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION_NAME = "dpo_analysis_packed"
CPU_QUERY_BLOCK = 64
"""Queries of a segment in one call on a CPU. One causal call over the whole segment would also multiply what lies ahead
of each query; in blocks most of that is left out. Blocks of 64 take 18 % off the attention, 32 are as good, 128 cost
9 % more (docs/benchmarks.md, docs/decisions/0017)."""
_WINDOWED_LAYERS: WeakSet[nn.Module] = WeakSet()
"""Attention layers that passed their sliding window to ``packed_attention``."""
_UNSUPPORTED_OPTIONS = ("softcap", "s_aux", "sinks", "position_bias", "alibi")


@dataclass(frozen=True, slots=True)
class _CurrentRow:
    """The row that is being computed, and the masks that its layers have in common."""

    layout: Layout
    masks: dict[tuple[int, int, int], torch.Tensor] = field(default_factory=dict)

    def mask(self, length: int, past: int, span: int, like: torch.Tensor) -> torch.Tensor | None:
        """Return the mask of ``length`` queries over ``past`` earlier tokens and themselves.

        Args:
            length: number of queries.
            past: number of visible tokens before the first query.
            span: each query sees the last ``span`` tokens up to itself.
            like: a tensor of the dtype and device that the mask shall have.

        Returns:
            (length, past + length), 0 or -inf, to be added to the scores; None where plain causal order is enough.
        """
        if not past and span >= length:
            return None
        key = (length, past, span)
        if key not in self.masks:
            visible = torch.ones(length, past + length, dtype=torch.bool, device=like.device).tril(past)
            visible = visible.triu(past - span + 1)
            zeros = torch.zeros(visible.shape, dtype=like.dtype, device=like.device)
            self.masks[key] = zeros.masked_fill_(~visible, -torch.inf)
        return self.masks[key]


_CURRENT_ROW: ContextVar[_CurrentRow] = ContextVar("row")
"""How the layout reaches the attention function, whose arguments are transformers' choice."""


@contextmanager
def use_layout(layout: Layout) -> Iterator[None]:
    """Let the registered attention function follow ``layout`` within the block."""
    token = _CURRENT_ROW.set(_CurrentRow(layout))
    try:
        yield
    finally:
        _CURRENT_ROW.reset(token)


@contextmanager
def use_packed_attention(model: "PreTrainedModel") -> Iterator[None]:
    """Let ``model`` attend by ``packed_attention`` within the block, and afterwards by its own attention again.

    Raises:
        ModelFailure: the model's attention cannot be replaced, or it has a sliding window that its attention layers do
            not pass to the function.
    """
    with model_code():
        before: Any = model.config._attn_implementation
        model.set_attn_implementation(ATTENTION_NAME)
    try:
        yield
    finally:
        with model_code():
            model.set_attn_implementation(before)
    with model_code():
        _refuse_hidden_window(model)


def _refuse_hidden_window(model: "PreTrainedModel") -> None:
    """Refuse a model whose sliding window is applied by its own mask alone, which packed rows replace.

    The self-check's sequences are shorter than such a window, so that it cannot notice that the window is ignored.

    Raises:
        NotPackable: the model is such a model, or attends in chunks.
    """
    config = model.config.get_text_config()
    if getattr(config, "attention_chunk_size", None):
        raise NotPackable("attention in chunks")
    kinds = getattr(config, "layer_types", None) or []
    window = getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None)
    is_windowed = "sliding_attention" in kinds or (window and not kinds)
    if is_windowed and not any(module in _WINDOWED_LAYERS for module in model.modules()):
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
    """Return the attention of one packed row of T tokens, in the signature that transformers calls.

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
        (1, T, heads, value_dim), and None in place of the attention weights.

    Raises:
        NotPackable: the layer soft-caps scores, has sinks or a position bias, or was given a mask.
    """
    used = [name for name in _UNSUPPORTED_OPTIONS if options.get(name) is not None]
    if used or attention_mask is not None:
        raise NotPackable(f"attention with {', '.join(used) or 'a mask of its own'}")
    if sliding_window is not None:
        _WINDOWED_LAYERS.add(module)
    out = query.new_empty(query.shape[2], query.shape[1], value.shape[-1])  # (T, heads, value_dim)
    by_head = out.transpose(0, 1).unsqueeze(0)  # (1, heads, T, value_dim)
    is_grouped = query.shape[1] != key.shape[1]
    row = _CURRENT_ROW.get()
    for segment in row.layout.segments:
        keys, values = _visible(key, segment), _visible(value, segment)
        for first, last in _query_blocks(segment, query.device):
            past = keys.shape[2] - segment.stop + first  # visible tokens ahead of the block
            n_visible = past + last - first
            span = n_visible if sliding_window is None else min(sliding_window, n_visible)
            mask = row.mask(last - first, past, span, query)
            by_head[:, :, first:last] = F.scaled_dot_product_attention(
                query[:, :, first:last],
                keys[:, :, :n_visible],
                values[:, :, :n_visible],
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=is_grouped,
            )
    return out.unsqueeze(0), None


def _visible(states: torch.Tensor, segment: Segment) -> torch.Tensor:
    """Return the keys or values that ``segment`` may see: those of its context, then those of the segment itself."""
    inside = states[:, :, segment.start : segment.stop]
    if segment.context_start == segment.context_stop:
        return inside
    return torch.cat([states[:, :, segment.context_start : segment.context_stop], inside], dim=2)


def _query_blocks(segment: Segment, device: torch.device) -> list[tuple[int, int]]:
    """Return where in the row the queries of each attention call start and stop."""
    size = CPU_QUERY_BLOCK if device.type == "cpu" else segment.stop - segment.start
    return [(first, min(first + size, segment.stop)) for first in range(segment.start, segment.stop, size)]


AttentionInterface.register(ATTENTION_NAME, packed_attention)
