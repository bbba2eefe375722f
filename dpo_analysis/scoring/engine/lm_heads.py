"""Output heads of language models: from hidden states to numbers per token, or to logits where models are compared.

A head may outlive its model: ``retained`` gives one that needs neither the trunk nor the adapters that are on now.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from dpo_analysis.scoring.engine.model_errors import model_code
from dpo_analysis.scoring.engine.model_head import ModelHead
from dpo_analysis.scoring.engine.placement import is_plain_linear
from dpo_analysis.scoring.engine.tiled_head import TokenColumns, multiply_into, score_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Head(Protocol):
    """The part of a language model that turns the trunk's final hidden states into logits."""

    @property
    def vocab_size(self) -> int:
        """Number of entries of the vocabulary."""
        ...

    def token_columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """Return the numbers of each response token.

        Args:
            output: what the trunk returned.
            states: (tokens, model width), rows of its final hidden states.
            labels: (tokens,) int64, the token ids that they predict.

        Raises:
            ModelFailure: the head does not fit this trunk.
        """
        ...

    def logits(self, states: Tensor) -> Tensor:
        """Return the logits (tokens, vocabulary), float32, of ``states`` (tokens, model width) on any device."""
        ...

    def retained(self) -> "Head":
        """Return the same head, to be used when the model is gone or has other adapters on."""
        ...


class LinearHead:
    """A ``Head`` that is a linear layer; whole rows of logits exist only in ``logits``."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight, bias
        self._fits = False
        self.vocab_size = int(weight.shape[0])

    def token_columns(self, output: object, states: Tensor, labels: Tensor) -> TokenColumns:
        """See ``Head``."""
        states = states.to(self._weight.device)
        self._refuse_misfit(states)
        return score_rows(states, self._weight, self._bias, labels.to(self._weight.device))

    def _refuse_misfit(self, states: Tensor) -> None:
        """Try one product before the first use.

        Whether the trunk's states have this head's width and type, and whether this torch has the product on this
        device, depends on the model; the computations on the product do not.
        """
        if self._fits:
            return
        row = states[:1]
        with model_code():
            multiply_into(row, self._weight[:1], torch.empty((len(row), 1), dtype=torch.float32, device=row.device))
        self._fits = True

    def logits(self, states: Tensor) -> Tensor:
        """See ``Head``."""
        weight, rows = self._weight, states.to(self._weight.device)
        if weight.dtype != torch.float32 and weight.device.type == "cuda":
            logits = torch.mm(rows, weight.t(), out_dtype=torch.float32)
        else:
            logits = torch.mm(rows, weight.t()).float()
        return logits if self._bias is None else logits.add_(self._bias.float())

    def retained(self) -> "LinearHead":
        """See ``Head``: the weight is all there is, and adapters do not change it."""
        return self


def candidate_heads(model: "PreTrainedModel", trunk: nn.Module) -> Iterator[Head]:
    """Yield every head that may be the model's, the fastest first."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if isinstance(head, nn.Linear) and is_plain_linear(head):
        yield LinearHead(head.weight, head.bias)
    yield ModelHead(model, trunk)
