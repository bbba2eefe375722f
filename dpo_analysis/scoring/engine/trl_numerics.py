"""The numbers that a bf16 training logged: TRL 1.16's evaluation of float32 weights under bfloat16 autocast.

Rounding depends on shapes, so the batches are the trainer's too: eight pairs as its evaluation takes by default, padded
on the right to the longest, with a mask. Its head rounds states, weights and logits to bfloat16 and sums in float32.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dpo_analysis.scoring.engine.model_head import chunk_rows, reduce_logits
from dpo_analysis.scoring.engine.placement import is_plain
from dpo_analysis.scoring.engine.routes import Forward, Route, SplitRoute, consecutive, last_hidden_state, trunks
from dpo_analysis.scoring.engine.tiled_head import TokenColumns, join_columns
from dpo_analysis.scoring.requests import Request

ROWS = 16
"""Sequences of one batch: TRL's default of 8 pairs, chosen and rejected."""


class TrainerHead:
    """A linear head as TRL's chunked one computes it: bfloat16 logits, scaled and reduced in float32."""

    def __init__(self, model: nn.Module) -> None:
        """Hold a bfloat16 copy of the head of ``model``, which must be a plain linear one, as TRL needs it, too."""
        head = model.get_output_embeddings()  # type: ignore[operator]
        self._weight = head.weight.detach().to(torch.bfloat16)
        self.size = len(self._weight)
        self._bias = None if head.bias is None else head.bias.detach().to(torch.bfloat16)
        self._scale, self._cap = _scaling(model.config.get_text_config())  # type: ignore[union-attr, operator]

    def columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """See ``heads.Head``."""
        size = chunk_rows(self.size, self._weight.device)
        chunks = zip(states.split(size), labels.split(size), strict=True)
        return join_columns([reduce_logits(self.logits(some), wanted) for some, wanted in chunks])

    def logits(self, states: Tensor) -> Tensor:
        """See ``heads.Head``."""
        found = torch.mm(states.to(self._weight.device, torch.bfloat16), self._weight.t())
        if self._bias is not None:
            found.add_(self._bias)
        scaled = found.float().mul_(self._scale)
        return scaled if self._cap is None else scaled.div_(self._cap).tanh_().mul_(self._cap)

    def kept(self) -> "TrainerHead":
        """See ``heads.Head``: adapters do not change it."""
        return self


class TrainerRoute(SplitRoute):
    """Batches as a trainer's evaluation makes them, under autocast."""

    name = "trainer"

    def _forwards(self, requests: Sequence[Request], batch_tokens: int) -> Iterator[Forward]:
        for members in _batches(requests, batch_tokens):
            ids, mask = _padded([requests[place] for place in members])
            with torch.autocast(self._device.type, dtype=torch.bfloat16):
                output = self._trunk(
                    input_ids=ids.to(self._device), attention_mask=mask.to(self._device), use_cache=False
                )
            hidden = last_hidden_state(output)
            rows, columns, labels, lengths = _places([requests[place] for place in members])
            there = (torch.from_numpy(one).to(hidden.device) for one in (rows, columns, labels))
            row, column, label = there
            yield Forward(consecutive(members, lengths), output, hidden[row, column], label)


def trainer_routes(model: nn.Module) -> Iterator[Route]:
    """The one way, for models whose head TRL could use; none for others."""
    if is_plain(getattr(model, "get_output_embeddings", lambda: None)()):
        for trunk in trunks(model):
            yield TrainerRoute(model, trunk, TrainerHead(model))


def _batches(requests: Sequence[Request], batch_tokens: int) -> Iterator[range]:
    """``ROWS`` requests at a time, in their order; fewer where they exceed the budget."""
    start = 0
    while start < len(requests):
        some = requests[start : start + ROWS]
        count = max(1, min(len(some), batch_tokens // max(request.n_tokens for request in some)))
        yield range(start, start + count)
        start += count


def _padded(requests: Sequence[Request]) -> tuple[Tensor, Tensor]:
    """Ids and mask, each (sequences, longest) int64, padded on the right."""
    ids = np.zeros((len(requests), max(request.n_tokens for request in requests)), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, request in enumerate(requests):
        ids[row, : request.n_tokens] = np.concatenate([request.prompt_token_ids, request.token_ids])
        mask[row, : request.n_tokens] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _places(requests: Sequence[Request]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each response token its sequence, the position before it and its id, all (tokens,); tokens per sequence."""
    lengths = np.array([len(request.token_ids) for request in requests], dtype=np.int64)
    rows = np.repeat(np.arange(len(requests)), lengths)
    columns = [len(request.prompt_token_ids) - 1 + np.arange(len(request.token_ids)) for request in requests]
    labels = [np.asarray(request.token_ids, dtype=np.int64) for request in requests]
    return rows, np.concatenate(columns), np.concatenate(labels), lengths


def _scaling(config: object) -> tuple[float, float | None]:
    """The factor on the logits and their soft cap, read from the config in TRL's order."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        if getattr(config, name, None) is not None:
            return float(getattr(config, name)), getattr(config, "final_logit_softcapping", None)
    divisor = getattr(config, "logits_scaling", None)
    scale = 1.0 if divisor is None else divisor if getattr(config, "model_type", "") == "hyperclovax" else 1 / divisor
    return float(scale), getattr(config, "final_logit_softcapping", None)
