"""Three ways through one model, the fastest first: packed rows, sorted batches, each sequence alone.

A route is used only for a model with which it was found to give the model's own numbers (``engine``).
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from dpo_analysis.scoring.engine.lm_heads import Head, heads
from dpo_analysis.scoring.engine.model_head import chunk_rows, reduce_logits
from dpo_analysis.scoring.engine.packed_attention import packed_row, packing
from dpo_analysis.scoring.engine.packed_layout import lay_out
from dpo_analysis.scoring.engine.packing import group_requests, packs
from dpo_analysis.scoring.engine.padding import pad, plan_batches
from dpo_analysis.scoring.engine.placement import device_of
from dpo_analysis.scoring.engine.tiled_head import TokenColumns, join_columns
from dpo_analysis.scoring.requests import Request

Keep = Callable[[Sequence[tuple[int, np.ndarray]], Tensor], None]
"""Shown each forward's requests (place, and its tokens among the states) and (tokens, model width) final states."""


class Scored(NamedTuple):
    """Results of one forward: each request's place and its tokens among (3, tokens) float32 and (2, tokens) int32."""

    takes: Sequence[tuple[int, np.ndarray]]
    floats: np.ndarray
    ints: np.ndarray


class Forward(NamedTuple):
    """One forward of a trunk: whose tokens, its answer, the states (tokens, model width) that predict ``labels``."""

    takes: Sequence[tuple[int, np.ndarray]]
    output: object
    states: Tensor
    labels: Tensor


class Route(Protocol):
    """A way to score requests with one model; ``head`` is None where trunk and head do not come apart."""

    name: str
    head: Head | None

    def score(self, requests: Sequence[Request], batch_tokens: int, keep: Keep | None = None) -> Iterator[Scored]:
        """Score ``requests``, in forwards of at most ``batch_tokens`` tokens, and show ``keep`` their states."""
        ...

    def states(self, requests: Sequence[Request], batch_tokens: int, keep: Keep) -> None:
        """Show ``keep`` the final states of ``requests`` without scoring them."""
        ...


class SplitRoute(ABC):
    """What routes have in common whose trunk and head come apart."""

    def __init__(self, model: nn.Module, trunk: nn.Module, head: Head) -> None:
        self._model, self._trunk, self.head = model, trunk, head
        self._device = device_of(model)

    @abstractmethod
    def _forwards(self, requests: Sequence[Request], batch_tokens: int) -> Iterator[Forward]: ...

    def score(self, requests: Sequence[Request], batch_tokens: int, keep: Keep | None = None) -> Iterator[Scored]:
        """See ``Route``."""
        for one in self._forwards(requests, batch_tokens):
            yield Scored(one.takes, *to_host(self.head.columns(one.output, one.states, one.labels)))
            if keep is not None:
                keep(one.takes, one.states)

    def states(self, requests: Sequence[Request], batch_tokens: int, keep: Keep) -> None:
        """See ``Route``."""
        for one in self._forwards(requests, batch_tokens):
            keep(one.takes, one.states)


class Packed(SplitRoute):
    """Groups in one row without padding: every prompt is computed once, whatever hangs on it."""

    name = "packed"

    def _forwards(self, requests: Sequence[Request], batch_tokens: int) -> Iterator[Forward]:
        with packing(self._model):
            for pack in packs(group_requests(requests), batch_tokens):
                layout = lay_out(pack)
                ids, positions = (torch.from_numpy(one)[None].to(self._device) for one in layout[:2])
                with packed_row(layout):
                    output = self._trunk(input_ids=ids, position_ids=positions, use_cache=False)
                hidden = last_hidden_state(output)[0]  # (row, model width)
                rows, labels = (torch.from_numpy(one).to(hidden.device) for one in (layout.head_rows, layout.labels))
                yield Forward(layout.takes, output, hidden[rows], labels)


class Sorted(SplitRoute):
    """Right-padded batches of like lengths, for models that mix the tokens of a row in a way of their own."""

    name = "sorted"

    def _forwards(self, requests: Sequence[Request], batch_tokens: int) -> Iterator[Forward]:
        for batch in plan_batches(requests, batch_tokens=batch_tokens):
            padded = pad(requests, batch)
            output = self._trunk(input_ids=torch.from_numpy(padded.input_ids).to(self._device), use_cache=False)
            hidden = last_hidden_state(output)  # (sequences, width, model width), on a spread model's last device
            rows, columns, labels = (torch.from_numpy(one).to(hidden.device) for one in padded[1:4])
            yield Forward(consecutive(batch.members, padded.lengths), output, hidden[rows, columns], labels)


class Whole:
    """Each sequence alone through the model's own forward, where trunk and head do not come apart."""

    name = "whole"
    head = None

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._device = device_of(model)

    def states(self, requests: Sequence[Request], batch_tokens: int, keep: Keep) -> None:
        """See ``Route``: there are none to show."""

    def score(self, requests: Sequence[Request], batch_tokens: int, keep: Keep | None = None) -> Iterator[Scored]:
        """See ``Route``; ``batch_tokens`` has nothing to decide here, and there are no states to keep."""
        for place, request in enumerate(requests):
            ids = np.concatenate([request.prompt_token_ids, request.token_ids[:-1]]).astype(np.int64)
            first, count = len(request.prompt_token_ids) - 1, len(request.token_ids)
            columns = torch.arange(first, first + count, device=self._device)
            logits = self._logits(torch.from_numpy(ids)[None].to(self._device), columns)
            labels = torch.from_numpy(np.asarray(request.token_ids, np.int64)).to(logits.device)
            size = chunk_rows(logits.shape[-1], logits.device)
            chunks = zip(logits.split(size), labels.split(size), strict=True)
            scores = join_columns([reduce_logits(some, wanted) for some, wanted in chunks])
            yield Scored([(place, np.arange(count))], *to_host(scores))

    def _logits(self, input_ids: Tensor, columns: Tensor) -> Tensor:
        """Logits (columns, vocabulary) of one sequence (1, width)."""
        if "logits_to_keep" in inspect.signature(self._model.forward).parameters:
            return self._model(input_ids=input_ids, use_cache=False, logits_to_keep=columns).logits[0]
        return self._model(input_ids=input_ids, use_cache=False).logits[0, columns]


def routes(model: nn.Module) -> Iterator[Route]:
    """Every route that may suit ``model``, the fastest first."""
    for way in (Packed, Sorted):
        for trunk in trunks(model):
            for head in heads(model, trunk):
                yield way(model, trunk, head)
    yield Whole(model)


def trunks(model: nn.Module) -> list[nn.Module]:
    """Modules that may be all of the model but its head, likeliest first."""
    decoder = getattr(model, "get_decoder", lambda: None)()
    found = [module for module in (decoder, getattr(model, "base_model", None)) if isinstance(module, nn.Module)]
    return [module for index, module in enumerate(found) if module is not model and module not in found[:index]]


def last_hidden_state(output: object) -> Tensor:
    """(sequences, width, model width): what the trunk hands to the head."""
    return output[0] if isinstance(output, tuple) else output.last_hidden_state  # type: ignore[attr-defined]


def to_host(columns: TokenColumns) -> tuple[np.ndarray, np.ndarray]:
    """(3, tokens) float32 and (2, tokens) int32: two copies a forward, however many responses it holds."""
    floats = torch.stack([columns.logp, columns.entropy, columns.argmax_logp])
    return floats.cpu().numpy(), torch.stack([columns.rank, columns.argmax_id]).cpu().numpy()


def consecutive(members: Sequence[int], lengths: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each member with its tokens, when those of all members stand one behind the other."""
    stops = np.cumsum(lengths)
    return [
        (member, np.arange(stop - length, stop))
        for member, stop, length in zip(members, stops.tolist(), lengths.tolist(), strict=True)
    ]
