"""From hidden states to numbers per token by the model's own head: soft-caps, logit scales, adapters on the head.

The head is the model's own forward with a stand-in for its trunk. Whatever the model does to its logits is thereby
included, whatever its architecture, and batch x time x vocabulary is never in memory.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dpo_analysis.scoring.engine.model_errors import ModelFailure, model_code
from dpo_analysis.scoring.engine.placement import input_device
from dpo_analysis.scoring.engine.tiled_head import LOGIT_FLOOR, TokenColumns, concat_columns

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CPU_CHUNK_LOGITS = 1 << 20
"""Logits held at once on a CPU, where a chunk that stays in the cache is fastest."""
CUDA_CHUNK_LOGITS = 1 << 27
"""Logits held at once on an accelerator: 0.5 GiB in float32."""
MIN_CHUNK_ROWS = 64
"""Rows below which reading the head's weights again costs more than the cache gives."""


def reduce_logits(logits: Tensor, labels: Tensor) -> TokenColumns:
    """Return log-prob, entropy and rank of ``labels``, and the likeliest token, computed in float32.

    Args:
        logits: (tokens, vocabulary), any float type, unnormalised; overwritten, since a copy would double the memory.
        labels: (tokens,) int64.
    """
    scores = logits.float()
    top, argmax_id = scores.max(dim=-1)
    label = scores.gather(-1, labels.to(scores.device).unsqueeze(-1))  # (tokens, 1)
    rank = 1 + (scores > label).sum(dim=-1)
    scores = scores.sub_(top.unsqueeze(-1))
    weights = scores.clamp_min_(LOGIT_FLOOR).exp()
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


def chunk_rows(vocab_size: int, device: torch.device) -> int:
    """Return how many rows of logits to hold at once for a head of ``vocab_size`` entries."""
    budget = CPU_CHUNK_LOGITS if device.type == "cpu" else CUDA_CHUNK_LOGITS
    return max(MIN_CHUNK_ROWS, budget // vocab_size)


class ModelHead:
    """A ``Head`` that runs the model's own forward, its trunk answering with the hidden states it is given.

    Args:
        model: the model whose head it is.
        trunk: the submodule that computes the hidden states.
        output_type: class of the trunk's outputs; None until the first one is seen.
    """

    def __init__(self, model: "PreTrainedModel", trunk: nn.Module, output_type: type[Any] | None = None) -> None:
        self._model, self._trunk = model, trunk
        self._output_type: type[Any] | None = output_type
        self.vocab_size = vocab_size_of(model)

    def token_columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """See ``Head``."""
        self._output_type = type(output)
        size = chunk_rows(self.vocab_size, states.device)
        chunks = zip(states.split(size), labels.split(size), strict=True)
        return concat_columns([reduce_logits(self._logits(rows), ids) for rows, ids in chunks])

    def logits(self, states: Tensor) -> Tensor:
        """See ``Head``; only after ``token_columns``, which learns the class of the trunk's outputs."""
        return self._logits(states.to(self._device)).float()

    def retained(self) -> "ModelHead":
        """See ``Head``: a copy of the model's structure that shares its weights and has an empty trunk.

        Raises:
            ModelFailure: the model cannot be copied.
        """
        empty = nn.Module()
        shared: dict[int, object] = {id(self._trunk): empty}
        shared |= {id(value): value for value in [*self._model.parameters(), *self._model.buffers()]}
        with model_code():
            structure = copy.deepcopy(self._model, shared)
        return ModelHead(structure, empty, self._output_type)

    @property
    def _device(self) -> torch.device:
        """Where the head's weight is; the input device where the weight is offloaded or there is none."""
        head = getattr(self._model, "get_output_embeddings", lambda: None)()
        weight = getattr(head, "weight", None)
        return weight.device if isinstance(weight, Tensor) and not weight.is_meta else input_device(self._model)

    def _logits(self, states: Tensor) -> Tensor:
        """Return the logits (tokens, vocabulary) of ``states`` (tokens, model width), in the model's own type."""
        assert self._output_type is not None, "no output of the trunk was seen"
        ids = torch.zeros((1, len(states)), dtype=torch.long, device=states.device)
        with model_code():
            is_tuple = issubclass(self._output_type, tuple)
            answer = (states[None],) if is_tuple else self._output_type(last_hidden_state=states[None])
            with self._trunk_answers(answer):
                logits = self._model(input_ids=ids, use_cache=False).logits[0]
        if logits.ndim != 2 or len(logits) != len(states):
            raise ModelFailure(f"logits of shape {tuple(logits.shape)} for {len(states)} tokens")
        return logits

    @contextmanager
    def _trunk_answers(self, answer: object) -> Iterator[None]:
        """Let the trunk return ``answer`` whatever its inputs; afterwards its forward is as before."""
        before = self._trunk.__dict__.get("forward")
        self._trunk.forward = lambda *args, **kwargs: answer
        try:
            yield
        finally:
            if before is None:
                del self._trunk.forward
            else:
                self._trunk.forward = before


def vocab_size_of(model: "PreTrainedModel") -> int:
    """Return the number of entries of the model's head."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    weight = getattr(head, "weight", None)
    return int(weight.shape[0]) if weight is not None else int(model.config.vocab_size)
