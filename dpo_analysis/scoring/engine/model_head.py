"""From hidden states to numbers per token, by the model's own head: for soft-caps, logit scales and adapters on it.

The head is the model's own forward with its trunk stood in for. Whatever it does to its logits is thereby the model's,
whatever its architecture, and batch x time x vocabulary is never in memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dpo_analysis.scoring.engine.tiled_head import FAR_BELOW, TokenColumns, join_columns

CPU_CHUNK = 1 << 20
"""Logits held at once on a CPU, where a chunk that stays in the cache is fastest."""
CUDA_CHUNK = 1 << 27
"""Logits held at once on an accelerator: 0.5 GiB in float32."""
SMALLEST_CHUNK = 64
"""Rows below which reading the head's weights again costs more than the cache gives."""


def reduce_logits(logits: Tensor, labels: Tensor) -> TokenColumns:
    """Log-prob, entropy and rank of ``labels`` and the most likely token, in float32 whatever came in.

    Args:
        logits: (tokens, vocabulary), any float type, unnormalised; used up, since a copy would double the memory.
        labels: (tokens,) int64.
    """
    scores = logits.float()
    top, argmax_id = scores.max(dim=-1)
    label = scores.gather(-1, labels.to(scores.device).unsqueeze(-1))  # (tokens, 1)
    rank = 1 + (scores > label).sum(dim=-1)
    scores = scores.sub_(top.unsqueeze(-1))
    weights = scores.clamp_min_(FAR_BELOW).exp()
    total = weights.sum(dim=-1)
    expected = weights.mul_(scores).sum(dim=-1) / total
    log_total = total.log()
    return TokenColumns(
        logp=label.squeeze(-1) - top - log_total,
        entropy=log_total - expected,
        argmax_logp=-log_total,
        rank=rank.int(),
        argmax_id=argmax_id.int(),
    )


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    """Rows of logits to hold at once for a head of ``vocabulary`` entries."""
    budget = CPU_CHUNK if device.type == "cpu" else CUDA_CHUNK
    return max(SMALLEST_CHUNK, budget // vocabulary)


class OwnHead:
    """Hidden states to logits by the model's own forward, ``trunk`` answering with the states it is given."""

    def __init__(self, model: nn.Module, trunk: nn.Module) -> None:
        self._model, self._trunk = model, trunk

    def columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """What is kept of ``labels`` (tokens,) at ``states`` (tokens, model width), some rows of logits at a time."""
        size = chunk_rows(vocabulary_of(self._model), states.device)
        chunks = zip(states.split(size), labels.split(size), strict=True)
        kind = type(output)
        return join_columns([reduce_logits(self.logits_of(kind, some), wanted) for some, wanted in chunks])

    def logits_of(self, kind: type, states: Tensor) -> Tensor:
        """Logits (tokens, vocabulary) of ``states`` (tokens, model width); ``kind``: the class of a trunk's answer."""
        stand_in = (states[None],) if issubclass(kind, tuple) else kind(last_hidden_state=states[None])
        dummy = torch.zeros((1, len(states)), dtype=torch.long, device=states.device)
        with self._answering(stand_in):
            return self._model(input_ids=dummy, use_cache=False).logits[0]

    @contextmanager
    def _answering(self, answer: object) -> Iterator[None]:
        before = self._trunk.__dict__.get("forward")
        self._trunk.forward = lambda *args, **kwargs: answer
        try:
            yield
        finally:
            if before is None:
                del self._trunk.forward
            else:
                self._trunk.forward = before


def vocabulary_of(model: nn.Module) -> int:
    """Entries of the model's head."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    weight = getattr(head, "weight", None)
    return int(weight.shape[0]) if weight is not None else int(model.config.vocab_size)  # type: ignore[union-attr]
