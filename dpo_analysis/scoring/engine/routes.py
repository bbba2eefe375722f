"""Routes through one model, the fastest first: packed rows, padded batches sorted by length, each sequence alone.

A route is used only where it gives the same numbers as the model's own forward (``Engine``). The first two split the
model: the trunk is all of it but its output head (``base_model`` in transformers), so that the head is computed only
where a response token is predicted.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from dpo_analysis.scoring.engine.lm_heads import Head, candidate_heads
from dpo_analysis.scoring.engine.model_errors import ModelFailure, model_code
from dpo_analysis.scoring.engine.model_head import chunk_rows, reduce_logits
from dpo_analysis.scoring.engine.packed_attention import use_layout, use_packed_attention
from dpo_analysis.scoring.engine.packed_layout import lay_out
from dpo_analysis.scoring.engine.packing import group_by_prompt, make_packs
from dpo_analysis.scoring.engine.padding import pad_inputs, plan_batches, response_positions
from dpo_analysis.scoring.engine.placement import input_device
from dpo_analysis.scoring.engine.tiled_head import TokenColumns, concat_columns
from dpo_analysis.scoring.requests import Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RequestRows = Sequence[tuple[int, np.ndarray]]
"""The index of each request of a forward pass, and its rows among the pass's response tokens, in their order."""
IndexedStatesHook = Callable[[RequestRows, Tensor], None]
"""Called after each forward pass with its requests and the final hidden states (tokens, model width)."""


class PassScores(NamedTuple):
    """Scores of one forward pass.

    Attributes:
        request_rows: which tokens belong to which request.
        floats: logp, entropy and argmax_logp, nats, (3, tokens) float32.
        ints: rank and argmax_id, (2, tokens) int32.
    """

    request_rows: RequestRows
    floats: np.ndarray
    ints: np.ndarray


class TrunkPass(NamedTuple):
    """One forward pass of a trunk.

    Attributes:
        request_rows: which response tokens belong to which request.
        output: what the trunk returned.
        states: (tokens, model width), final hidden states, one for each response token.
        labels: (tokens,) int64, the response tokens that they predict.
    """

    request_rows: RequestRows
    output: object
    states: Tensor
    labels: Tensor


class Route(Protocol):
    """A way to score requests with one model."""

    @property
    def name(self) -> str:
        """The route's name, as users read it."""
        ...

    @property
    def head(self) -> Head | None:
        """The model's output head; None where trunk and head do not come apart."""
        ...

    def score(
        self, requests: Sequence[Request], batch_tokens: int, hook: IndexedStatesHook | None = None
    ) -> Iterator[PassScores]:
        """Score ``requests`` in forward passes of at most ``batch_tokens`` tokens.

        Args:
            requests: the responses to score, without repeats.
            batch_tokens: budget of a forward pass, in tokens of its inputs.
            hook: shown the hidden states of every pass.

        Raises:
            ModelFailure: the model does not support this route.
        """
        ...

    def show_states(self, requests: Sequence[Request], batch_tokens: int, hook: IndexedStatesHook) -> None:
        """Show ``hook`` the final hidden states of ``requests`` without scoring them; errors as ``score``."""
        ...


class TrunkHeadRoute(ABC):
    """A route that runs a model's trunk, and its head on the states that predict response tokens."""

    name: str

    def __init__(self, model: "PreTrainedModel", trunk: nn.Module, head: Head) -> None:
        self._model, self._trunk, self.head = model, trunk, head
        self._device = input_device(model)

    @abstractmethod
    def _passes(self, requests: Sequence[Request], batch_tokens: int) -> Iterator[TrunkPass]:
        """Yield the forward passes that hold every request once."""

    def score(
        self, requests: Sequence[Request], batch_tokens: int, hook: IndexedStatesHook | None = None
    ) -> Iterator[PassScores]:
        """See ``Route``."""
        for done in self._passes(requests, batch_tokens):
            columns = self.head.token_columns(done.output, done.states, done.labels)
            yield PassScores(done.request_rows, *to_numpy(columns))
            if hook is not None:
                hook(done.request_rows, done.states)

    def show_states(self, requests: Sequence[Request], batch_tokens: int, hook: IndexedStatesHook) -> None:
        """See ``Route``."""
        for done in self._passes(requests, batch_tokens):
            hook(done.request_rows, done.states)


class PackedRoute(TrunkHeadRoute):
    """Groups of responses in one row without padding: every prompt is computed once for all its responses."""

    name = "packed"

    def _passes(self, requests: Sequence[Request], batch_tokens: int) -> Iterator[TrunkPass]:
        with use_packed_attention(self._model):
            for pack in make_packs(group_by_prompt(requests), batch_tokens):
                layout = lay_out(pack)
                ids, positions = (torch.from_numpy(array)[None].to(self._device) for array in layout[:2])
                with use_layout(layout), model_code():
                    output = self._trunk(input_ids=ids, position_ids=positions, use_cache=False)
                hidden = last_hidden_state(output, ids)[0]  # (row, model width)
                rows, labels = (
                    torch.from_numpy(array).to(hidden.device) for array in (layout.head_rows, layout.labels)
                )
                yield TrunkPass(layout.request_rows, output, hidden[rows], labels)


class SortedRoute(TrunkHeadRoute):
    """Right-padded batches of similar lengths, for models that mix the tokens of a row in another way."""

    name = "sorted"

    def _passes(self, requests: Sequence[Request], batch_tokens: int) -> Iterator[TrunkPass]:
        for batch in plan_batches(requests, batch_tokens=batch_tokens):
            members = [requests[index] for index in batch.members]
            ids = torch.from_numpy(pad_inputs(members, batch.width)).to(self._device)
            with model_code():
                output = self._trunk(input_ids=ids, use_cache=False)
            hidden = last_hidden_state(output, ids)  # (sequences, width, model width), on a spread model's last device
            places = response_positions(members)
            rows, columns, labels = (torch.from_numpy(array).to(hidden.device) for array in places[:3])
            yield TrunkPass(consecutive_rows(batch.members, places.lengths), output, hidden[rows, columns], labels)


class WholeRoute:
    """Each sequence alone through the model's own forward, where trunk and head do not come apart."""

    name = "whole"
    head = None

    def __init__(self, model: "PreTrainedModel") -> None:
        self._model = model
        self._device = input_device(model)

    def show_states(self, requests: Sequence[Request], batch_tokens: int, hook: IndexedStatesHook) -> None:
        """See ``Route``: there are no states to show."""

    def score(
        self, requests: Sequence[Request], batch_tokens: int, hook: IndexedStatesHook | None = None
    ) -> Iterator[PassScores]:
        """See ``Route``; neither ``batch_tokens`` nor ``hook`` has an effect."""
        for index, request in enumerate(requests):
            ids = np.concatenate([request.prompt_token_ids, request.token_ids[:-1]]).astype(np.int64)
            first, count = len(request.prompt_token_ids) - 1, len(request.token_ids)
            columns = torch.arange(first, first + count, device=self._device)
            with model_code():
                logits = self._logits(torch.from_numpy(ids)[None].to(self._device), columns)
            labels = torch.from_numpy(np.asarray(request.token_ids, np.int64)).to(logits.device)
            size = chunk_rows(logits.shape[-1], logits.device)
            chunks = zip(logits.split(size), labels.split(size), strict=True)
            scores = concat_columns([reduce_logits(rows, row_labels) for rows, row_labels in chunks])
            yield PassScores([(index, np.arange(count))], *to_numpy(scores))

    def _logits(self, input_ids: Tensor, columns: Tensor) -> Tensor:
        """Return the logits (columns, vocabulary) of one sequence (1, width)."""
        if "logits_to_keep" in inspect.signature(self._model.forward).parameters:
            return self._model(input_ids=input_ids, use_cache=False, logits_to_keep=columns).logits[0]
        return self._model(input_ids=input_ids, use_cache=False).logits[0, columns]


def candidate_routes(model: "PreTrainedModel") -> Iterator[Route]:
    """Yield every route that may suit ``model``, the fastest first."""
    for route in (PackedRoute, SortedRoute):
        for trunk in candidate_trunks(model):
            for head in candidate_heads(model, trunk):
                yield route(model, trunk, head)
    yield WholeRoute(model)


def candidate_trunks(model: "PreTrainedModel") -> list[nn.Module]:
    """Return the submodules that may be all of the model but its head, the likeliest first."""
    decoder = getattr(model, "get_decoder", lambda: None)()
    modules = [module for module in (decoder, getattr(model, "base_model", None)) if isinstance(module, nn.Module)]
    return [module for index, module in enumerate(modules) if module is not model and module not in modules[:index]]


def last_hidden_state(output: Any, input_ids: Tensor) -> Tensor:
    """Return the trunk's final hidden states, (sequences, width, model width).

    Args:
        output: what the trunk returned.
        input_ids: (sequences, width), its input.

    Raises:
        ModelFailure: the output has no hidden state for every id.
    """
    with model_code():
        states = output[0] if isinstance(output, tuple) else output.last_hidden_state
        fits = states.ndim == 3 and states.shape[0] >= input_ids.shape[0] and states.shape[1] >= input_ids.shape[1]
    if not fits:
        raise ModelFailure(f"hidden states of shape {tuple(states.shape)} for ids of shape {tuple(input_ids.shape)}")
    return states


def to_numpy(columns: TokenColumns) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns as (3, tokens) float32 and (2, tokens) int32, in the order of ``PassScores``.

    Stacked first, they cost two copies from the device for a forward pass, however many responses it holds.
    """
    floats = torch.stack([columns.logp, columns.entropy, columns.argmax_logp])
    return floats.cpu().numpy(), torch.stack([columns.rank, columns.argmax_id]).cpu().numpy()


def consecutive_rows(members: Sequence[int], lengths: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return each member with its rows, where the rows of all members follow each other without a gap."""
    stops = np.cumsum(lengths)
    return [
        (member, np.arange(stop - length, stop))
        for member, stop, length in zip(members, stops.tolist(), lengths.tolist(), strict=True)
    ]
