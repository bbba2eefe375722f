"""The numbers that a bfloat16 training logged: TRL 1.16's evaluation of float32 weights under bfloat16 autocast.

Rounding depends on shapes, so the batches are the trainer's too: eight pairs as its evaluation takes by default, padded
on the right to the longest, with a mask. Its head rounds states, weights and logits to bfloat16 and sums in float32.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from dpo_analysis.scoring.engine.model_errors import ModelFailure, model_code
from dpo_analysis.scoring.engine.model_head import chunk_rows, reduce_logits
from dpo_analysis.scoring.engine.padding import response_positions
from dpo_analysis.scoring.engine.placement import is_plain_linear
from dpo_analysis.scoring.engine.routes import (
    Route,
    TrunkHeadRoute,
    TrunkPass,
    candidate_trunks,
    consecutive_rows,
    last_hidden_state,
)
from dpo_analysis.scoring.engine.tiled_head import TokenColumns, concat_columns
from dpo_analysis.scoring.requests import Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH_SEQUENCES = 16
"""Sequences of one batch: TRL's default of 8 pairs, chosen and rejected."""


class TrainerHead:
    """A ``Head`` that is a linear layer as TRL's chunked loss computes it.

    The logits are in the type of the weight; they are scaled and reduced in float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, config: object) -> None:
        """Hold a weight (vocabulary, width) and a bias (vocabulary,) of one type, and the scaling of ``config``."""
        self._weight, self._bias = weight, bias
        self.vocab_size = len(weight)
        self._scale, self._cap = _logit_scaling(config)

    @classmethod
    def of(cls, model: "PreTrainedModel") -> "TrainerHead":
        """Return a bfloat16 copy of the head of ``model``, which must be a plain linear layer, as TRL needs it, too."""
        head = model.get_output_embeddings()
        assert isinstance(head, nn.Linear), "checked by trainer_routes"
        bias = None if head.bias is None else head.bias.detach().to(torch.bfloat16)
        return cls(head.weight.detach().to(torch.bfloat16), bias, model.config.get_text_config())

    def token_columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """See ``Head``."""
        if states.shape[-1] != self._weight.shape[1]:
            raise ModelFailure(f"hidden states of width {states.shape[-1]} for a head of width {self._weight.shape[1]}")
        size = chunk_rows(self.vocab_size, self._weight.device)
        chunks = zip(states.split(size), labels.split(size), strict=True)
        return concat_columns([reduce_logits(self.logits(rows), ids) for rows, ids in chunks])

    def logits(self, states: Tensor) -> Tensor:
        """See ``Head``."""
        logits = torch.mm(states.to(self._weight.device, self._weight.dtype), self._weight.t())
        if self._bias is not None:
            logits.add_(self._bias)
        scaled = logits.float().mul_(self._scale)
        return scaled if self._cap is None else scaled.div_(self._cap).tanh_().mul_(self._cap)

    def retained(self) -> "TrainerHead":
        """See ``Head``: adapters do not change it."""
        return self


class TrainerRoute(TrunkHeadRoute):
    """Batches as a trainer's evaluation makes them, under bfloat16 autocast."""

    name = "trainer"

    def _passes(self, requests: Sequence[Request], batch_tokens: int) -> Iterator[TrunkPass]:
        for indices in _batches(requests, batch_tokens):
            members = [requests[index] for index in indices]
            ids, mask = (array.to(self._device) for array in _ids_and_mask(members))
            with torch.autocast(self._device.type, dtype=torch.bfloat16), model_code():
                output = self._trunk(input_ids=ids, attention_mask=mask, use_cache=False)
            hidden = last_hidden_state(output, ids)
            places = response_positions(members)
            rows, columns, labels = (torch.from_numpy(array).to(hidden.device) for array in places[:3])
            yield TrunkPass(consecutive_rows(indices, places.lengths), output, hidden[rows, columns], labels)


def trainer_routes(model: "PreTrainedModel") -> Iterator[Route]:
    """Yield the route of each trunk that the model may have; none for a model whose head TRL could not use."""
    if is_plain_linear(getattr(model, "get_output_embeddings", lambda: None)()):
        for trunk in candidate_trunks(model):
            yield TrainerRoute(model, trunk, TrainerHead.of(model))


def _batches(requests: Sequence[Request], batch_tokens: int) -> Iterator[range]:
    """Yield ``BATCH_SEQUENCES`` requests at a time, in their order; fewer where they exceed the budget."""
    start = 0
    while start < len(requests):
        batch = requests[start : start + BATCH_SEQUENCES]
        count = max(1, min(len(batch), batch_tokens // max(request.n_tokens for request in batch)))
        yield range(start, start + count)
        start += count


def _ids_and_mask(requests: Sequence[Request]) -> tuple[Tensor, Tensor]:
    """Return ids and mask, each (sequences, longest) int64, right-padded.

    Unlike ``padding.pad_inputs`` they hold the last token of each response, as TRL's batches do.
    """
    ids = np.zeros((len(requests), max(request.n_tokens for request in requests)), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, request in enumerate(requests):
        ids[row, : request.n_tokens] = np.concatenate([request.prompt_token_ids, request.token_ids])
        mask[row, : request.n_tokens] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _logit_scaling(config: object) -> tuple[float, float | None]:
    """Return the factor on the logits and their soft cap, read from the config in TRL's order."""
    cap = getattr(config, "final_logit_softcapping", None)
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        if getattr(config, name, None) is not None:
            return float(getattr(config, name)), cap
    divisor = getattr(config, "logits_scaling", None)
    scale = 1.0 if divisor is None else divisor if getattr(config, "model_type", "") == "hyperclovax" else 1 / divisor
    return float(scale), cap
