"""Continuations of prompts by one model: drawn from its own distribution, or the likeliest token each time."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import GenerationConfig

from dpo_analysis.data.tokenization import Response
from dpo_analysis.errors import InputError
from dpo_analysis.scoring.engine.engine import full_precision
from dpo_analysis.scoring.engine.memory import in_memory
from dpo_analysis.scoring.engine.placement import device_of
from dpo_analysis.scoring.models.preflight import position_limit


def continuations(
    model: nn.Module, prompt: np.ndarray, *, count: int, longest: int, ends: Sequence[int], seed: str
) -> list[Response]:
    """What ``model`` says after ``prompt``.

    Nothing but its distribution decides: temperature 1, no truncation of the vocabulary, no penalties, whatever the
    model's own generation settings are. A prompt is continued by itself, so nothing is padded in front.

    Args:
        model: a causal language model in eval mode.
        prompt: ids, int32, shape (prompt tokens,).
        count: continuations to draw; 0 for the one of the likeliest tokens.
        longest: tokens after which a continuation is cut, and marked as truncated.
        ends: ids that end a text; they belong to the continuation.
        seed: what is drawn depends on this, the prompt and the model alone.

    Raises:
        InputError: the model cannot generate, or the prompt fills its positions.
        MemoryError: it does not fit.
    """
    if not hasattr(model, "generate"):
        raise InputError(f"a {type(model).__name__} cannot generate text; leave out --probes")
    limit = position_limit(model.config.to_dict())  # type: ignore[union-attr, operator]
    room = longest if limit is None else min(longest, limit - len(prompt))
    if room < 1:
        raise InputError(f"a prompt of {len(prompt)} tokens fills the {limit} positions; nothing can be said after it")
    device = device_of(model)
    ids = torch.from_numpy(prompt.astype(np.int64))[None].to(device)
    drawn: dict[str, Any] = {"do_sample": True, "num_return_sequences": count}
    drawn |= {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    settings = GenerationConfig(
        max_new_tokens=room, eos_token_id=list(ends) or None, pad_token_id=ends[0] if ends else 0, use_cache=True,
        **(drawn if count else {"do_sample": False}),
    )  # fmt: skip

    def work() -> np.ndarray:
        with full_precision(device), _only(model, settings), torch.no_grad(), _seeded(seed, prompt, device):
            found = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)  # type: ignore[operator]
        return found[:, len(prompt) :].cpu().numpy().astype(np.int32)

    lines = in_memory(work, device, f"{max(count, 1)} continuations of {room} tokens")
    return [_response(prompt, line, ends) for line in lines]


def _response(prompt: np.ndarray, ids: np.ndarray, ends: Sequence[int]) -> Response:
    """A continuation up to its end of text; without one it was cut."""
    stops = np.flatnonzero(np.isin(ids, list(ends)))
    kept = ids[: stops[0] + 1] if len(stops) else ids
    return Response(prompt.astype(np.int32), kept, truncated=not len(stops))


@contextmanager
def _only(model: nn.Module, settings: GenerationConfig) -> Iterator[None]:
    """These settings instead of the model's own, which would fill in what a call leaves out."""
    before = model.generation_config
    model.generation_config = settings  # type: ignore[assignment]
    try:
        yield
    finally:
        model.generation_config = before


@contextmanager
def _seeded(seed: str, prompt: np.ndarray, device: torch.device) -> Iterator[None]:
    """Random numbers of torch from this seed and prompt; afterwards they go on as if nothing had been drawn."""
    digest = hashlib.sha256(seed.encode() + prompt.astype("<i4").tobytes()).digest()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        yield
