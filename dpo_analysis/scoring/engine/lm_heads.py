"""The heads of models: from hidden states to columns per token, or to logits where two models are compared.

A head may outlive its model: ``kept`` gives one that needs neither the trunk nor the adapters that act now.
"""

import copy
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from dpo_analysis.scoring.engine.model_head import OwnHead, vocabulary_of
from dpo_analysis.scoring.engine.placement import device_of, is_plain
from dpo_analysis.scoring.engine.tiled_head import TokenColumns, score_rows


class Head(Protocol):
    """What stands behind a trunk."""

    @property
    def size(self) -> int:
        """Entries of its vocabulary."""
        ...

    def columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """What is kept of ``labels`` (tokens,) at ``states`` (tokens, model width), rows of the trunk's ``output``."""
        ...

    def logits(self, states: Tensor) -> Tensor:
        """Logits (tokens, vocabulary), float32, of ``states`` (tokens, model width) on any device."""
        ...

    def kept(self) -> "Head":
        """The same head, to be used when the model is gone or other adapters act in it."""
        ...


class PlainHead:
    """A linear map from states to logits, tile by tile where whole logits are not asked for."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias
        self.size = int(weight.shape[0])

    def columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """See ``Head``."""
        return score_rows(states.to(self._weight.device), self._weight, self._bias, labels.to(self._weight.device))

    def logits(self, states: Tensor) -> Tensor:
        """See ``Head``."""
        weight, rows = self._weight, states.to(self._weight.device)
        if weight.dtype != torch.float32 and weight.device.type == "cuda":
            found = torch.mm(rows, weight.t(), out_dtype=torch.float32)
        else:
            found = torch.mm(rows, weight.t()).float()
        return found if self._bias is None else found.add_(self._bias.float())

    def kept(self) -> "PlainHead":
        """See ``Head``: the weight is all there is, and adapters do not change it."""
        return self


class ModelHead:
    """The model's own head: soft-caps, logit scales and adapters as its own forward applies them."""

    def __init__(self, model: nn.Module, trunk: nn.Module, kind: type | None = None) -> None:
        self._model, self._trunk, self._kind = model, trunk, kind
        self._own = OwnHead(model, trunk)
        self.size = vocabulary_of(model)

    def columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """See ``Head``."""
        self._kind = type(output)
        return self._own.columns(output, states, labels)

    def logits(self, states: Tensor) -> Tensor:
        """See ``Head``; only after ``columns``, which learns what the trunk's answers look like."""
        assert self._kind is not None, "no output of the trunk was seen"
        return self._own.logits_of(self._kind, states.to(self._device)).float()

    @property
    def _device(self) -> torch.device:
        head = getattr(self._model, "get_output_embeddings", lambda: None)()
        weight = getattr(head, "weight", None)
        return weight.device if isinstance(weight, Tensor) and not weight.is_meta else device_of(self._model)

    def kept(self) -> "ModelHead":
        """See ``Head``: a copy of the model's structure that shares its weights and has nothing for a trunk."""
        stub = nn.Module()
        shared: dict[int, object] = {id(self._trunk): stub}
        shared |= {id(value): value for value in [*self._model.parameters(), *self._model.buffers()]}
        return ModelHead(copy.deepcopy(self._model, shared), stub, self._kind)


def heads(model: nn.Module, trunk: nn.Module) -> Iterator[Head]:
    """Every head that may be the model's, the fastest first."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if isinstance(head, nn.Linear) and is_plain(head):
        yield PlainHead(head.weight, head.bias)
    yield ModelHead(model, trunk)
