"""Continuations of prompts by one model: sampled from its own distribution, or greedy."""

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
from dpo_analysis.scoring.engine.float32 import full_precision
from dpo_analysis.scoring.engine.memory import guard_memory
from dpo_analysis.scoring.engine.placement import input_device
from dpo_analysis.scoring.models.preflight import position_limit


def generate_continuations(
    model: nn.Module,
    prompt: np.ndarray,
    *,
    n_samples: int,
    max_new_tokens: int,
    eos_token_ids: Sequence[int],
    seed: str,
) -> list[Response]:
    """Return continuations of ``prompt`` by ``model``.

    Nothing but its distribution decides: temperature 1, no truncation of the vocabulary, no penalties, whatever the
    model's own generation settings are. A prompt is continued by itself, so nothing is padded in front.

    Args:
        model: a causal language model in eval mode.
        prompt: ids, int32, shape (prompt tokens,).
        n_samples: continuations to sample; 0 for one greedy continuation.
        max_new_tokens: tokens after which a continuation is cut, and marked as truncated.
        eos_token_ids: ids that end a text; they belong to the continuation.
        seed: the samples depend on this, the prompt and the model alone.

    Raises:
        InputError: the model cannot generate, or the prompt fills its positions.
        MemoryError: it does not fit.
    """
    if not hasattr(model, "generate"):
        raise InputError(f"a {type(model).__name__} cannot generate text; leave out --probes")
    generator: Any = model  # of a class with transformers' GenerationMixin
    limit = position_limit(generator.config.to_dict())
    room = max_new_tokens if limit is None else min(max_new_tokens, limit - len(prompt))
    if room < 1:
        raise InputError(f"a prompt of {len(prompt)} tokens leaves no room for a reply: the model takes {limit} tokens")
    device = input_device(model)
    ids = torch.from_numpy(prompt.astype(np.int64))[None].to(device)
    sampling: dict[str, Any] = {"do_sample": True, "num_return_sequences": n_samples}
    sampling |= {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    config = GenerationConfig(
        max_new_tokens=room,
        eos_token_id=list(eos_token_ids) or None,
        pad_token_id=eos_token_ids[0] if eos_token_ids else 0,
        use_cache=True,
        **(sampling if n_samples else {"do_sample": False}),
    )

    def work() -> np.ndarray:
        with full_precision(device), _use_config(generator, config), torch.no_grad(), _seeded(seed, prompt, device):
            sequences = generator.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        return sequences[:, len(prompt) :].cpu().numpy().astype(np.int32)

    lines = guard_memory(work, device, f"{max(n_samples, 1)} continuations of {room} tokens")
    return [cut_at_end(prompt, line, eos_token_ids) for line in lines]


def cut_at_end(prompt: np.ndarray, ids: np.ndarray, eos_token_ids: Sequence[int]) -> Response:
    """Return a continuation up to its end of text; without one it is truncated."""
    ends = np.flatnonzero(np.isin(ids, list(eos_token_ids)))
    continuation = ids[: ends[0] + 1] if len(ends) else ids
    return Response(prompt.astype(np.int32), continuation, truncated=not len(ends))


@contextmanager
def _use_config(model: Any, config: GenerationConfig) -> Iterator[None]:
    """Replace the model's own generation settings, which would fill in what a call leaves out, within the block."""
    before = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = before


@contextmanager
def _seeded(seed: str, prompt: np.ndarray, device: torch.device) -> Iterator[None]:
    """Seed torch's random numbers by ``seed`` and ``prompt``; afterwards they go on as if nothing had been drawn."""
    digest = hashlib.sha256(seed.encode() + prompt.astype("<i4").tobytes()).digest()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        yield
