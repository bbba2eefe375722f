"""The evidence of one part of one model: collected from the hidden states as they pass, and made into tables."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from dpo_analysis.runs import Part
from dpo_analysis.schema import EVIDENCE_SCHEMAS, HIDDEN_SCHEMA, SIDES
from dpo_analysis.scoring.engine.engine import Engine, StatesHook
from dpo_analysis.scoring.engine.lm_heads import Head
from dpo_analysis.scoring.engine.memory import empty_cache, is_out_of_memory
from dpo_analysis.scoring.engine.model_errors import ModelFailure
from dpo_analysis.scoring.evidence.distributions import Comparison, compare_distributions
from dpo_analysis.scoring.evidence.reference_states import RequestKey, request_key
from dpo_analysis.scoring.oom_retry import score_with_oom_retry
from dpo_analysis.scoring.requests import Request, TokenScores, request_of

_CHECKED_ROWS = 4
"""Rows on which a retained head is compared with the head that it was made from."""
COMPARED_KINDS = ("topk", "kl")
"""The kinds of evidence that compare a policy with the reference."""
_LOG = logging.getLogger(__name__)


class ReferenceOutputs(NamedTuple):
    """What a policy is compared with.

    Attributes:
        head: the reference's output head.
        states: returns the reference's hidden states (tokens, model width) of a request; None where they did not fit.
    """

    head: Head
    states: Callable[[Request], Tensor | None]


def requests_of_rows(part: Part, rows: frozenset[int]) -> list[Request]:
    """Return both responses of every pair of ``part`` that is in ``rows``."""
    return [
        request_of(response)
        for row, pair in zip(part.rows, part.pairs, strict=True)
        if row in rows
        for response in pair.responses.values()
    ]


class PartCollector:
    """A ``requests.CollectingScorer``: scores a part and collects evidence from the hidden states of its passes.

    Args:
        engine: the model.
        part: its part.
        rows: the pairs to collect evidence of.
        kinds: the kinds to collect.
        reference: what a policy is compared with; None where it is not compared.
        store: takes each kind's table; called by ``write``.
        add_seconds: takes the time that the collection took, once it is written.
    """

    def __init__(
        self,
        engine: Engine,
        part: Part,
        rows: frozenset[int],
        *,
        kinds: Sequence[str],
        reference: ReferenceOutputs | None,
        store: Callable[[str, pa.Table], None],
        add_seconds: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._engine, self._part, self._rows, self._kinds = engine, part, rows, kinds
        self._reference, self._store, self._add_seconds = reference, store, add_seconds
        self._requests = requests_of_rows(part, rows)
        self._keys = {request_key(request) for request in self._requests}
        self._comparisons: dict[RequestKey, Comparison] = {}
        self._state_sums: dict[RequestKey, np.ndarray] = {}
        self._seconds = 0.0

    def score(self, requests: Sequence[Request], *, batch_tokens: int) -> TokenScores:
        """Score as the engine does, and collect evidence from the hidden states on the way."""
        return self._engine.score(requests, batch_tokens=batch_tokens, hook=self._collect_states)

    def collect(self, batch_tokens: int) -> None:
        """See ``requests.CollectingScorer``."""
        begin = time.monotonic()
        show_states(self._engine, self._requests, batch_tokens, self._collect_states)
        self._seconds = time.monotonic() - begin

    def write(self) -> None:
        """See ``requests.CollectingScorer``."""
        begin = time.monotonic()
        for kind in self._kinds:
            self._store(kind, self._hidden_table() if kind == "hidden" else self._comparison_table(kind))
        self._add_seconds(self._seconds + time.monotonic() - begin)

    def _collect_states(self, request_rows: Sequence[tuple[Request, np.ndarray]], states: Tensor) -> None:
        """A ``StatesHook``: take what the evidence needs from the states of one forward pass."""
        begin = time.monotonic()
        collected = [
            (request, states[torch.from_numpy(rows).to(states.device)])
            for request, rows in request_rows
            if request_key(request) in self._keys
        ]
        if collected and "hidden" in self._kinds:
            self._state_sums |= {
                # in float64, since CHES subtracts products of these sums that may be nearly equal
                request_key(request): rows.cpu().double().sum(dim=0).numpy()
                for request, rows in collected
            }
        if collected and self._reference is not None:
            self._compare(collected, self._reference)
        self._seconds += time.monotonic() - begin

    def _compare(self, collected: Sequence[tuple[Request, Tensor]], reference: ReferenceOutputs) -> None:
        """Compare all requests of a forward pass at once; those without room for it are left out."""
        matched = [
            (request, rows, reference_rows)
            for request, rows in collected
            if (reference_rows := reference.states(request)) is not None
        ]
        head = self._engine.head
        if not matched or head is None:
            return
        labels = torch.from_numpy(np.concatenate([request.token_ids for request, _, _ in matched]).astype(np.int64))
        states = torch.cat([rows for _, rows, _ in matched]), torch.cat([rows for _, _, rows in matched])
        try:
            comparison = compare_distributions((head, reference.head), states, labels)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            comparison = None
        if comparison is None:
            # here and not in the handler: while the error is handled, its traceback keeps the memory
            empty_cache(self._engine.device)
            return
        pieces = _split_by_response(comparison, [len(rows) for _, rows, _ in matched])
        self._comparisons |= zip([request_key(request) for request, _, _ in matched], pieces, strict=True)

    def _comparison_table(self, kind: str) -> pa.Table:
        """Return the table of a kind of ``COMPARED_KINDS``, one row per response; null where it did not fit."""
        schema = EVIDENCE_SCHEMAS[kind]
        columns: dict[str, list] = {name: [] for name in schema.names}
        for row, pair in zip(self._part.rows, self._part.pairs, strict=True):
            for side, response in pair.responses.items() if row in self._rows else ():
                comparison = self._comparisons.get(request_key(request_of(response)))
                for name, value in zip(schema.names, (row, pair.pair.pair_id, side), strict=False):
                    columns[name].append(value)
                for name in schema.names[3:]:
                    columns[name].append(None if comparison is None else getattr(comparison, name))
        return pa.table(columns, schema=schema)

    def _hidden_table(self) -> pa.Table:
        """Return the table of kind ``hidden``, one row per pair that has both responses."""
        lines = []
        for row, pair in zip(self._part.rows, self._part.pairs, strict=True):
            if row in self._rows and all(side in pair.responses for side in SIDES):
                requests = [request_of(pair.responses[side]) for side in SIDES]
                products = _state_products(self._state_sums, requests)
                lines.append({"row": row, "pair_id": pair.pair.pair_id} | products)
        return pa.Table.from_pylist(lines, schema=HIDDEN_SCHEMA)


class _StatesOnly:
    """A ``Scorer`` that shows the hidden states and gives no scores, so that ``score_with_oom_retry`` can retry it."""

    def __init__(self, engine: Engine, hook: StatesHook) -> None:
        self._engine, self._hook = engine, hook

    def score(self, requests: Sequence[Request], *, batch_tokens: int) -> TokenScores:
        self._engine.show_states(requests, batch_tokens=batch_tokens, hook=self._hook)
        floats, ints = np.zeros(0, np.float32), np.zeros(0, np.int32)
        return TokenScores(np.zeros(len(requests) + 1, np.int64), floats, floats, floats, ints, ints)


def show_states(engine: Engine, requests: Sequence[Request], batch_tokens: int, hook: StatesHook) -> None:
    """Show ``hook`` the states of ``requests``, in smaller batches where memory is short.

    Requests that do not fit even alone are left out.
    """
    score_with_oom_retry(_StatesOnly(engine, hook), requests, batch_tokens)


def _state_products(sums: Mapping[RequestKey, np.ndarray], requests: Sequence[Request]) -> dict[str, int | float]:
    """Return the columns of ``HIDDEN_SCHEMA`` of one pair beside its row and id.

    Args:
        sums: each response's sum of hidden states, float64, (model width,), by its request.
        requests: the chosen and the rejected response.

    Returns:
        The lengths, and inner products of the two sums; no products where a response did not fit.
    """
    chosen, rejected = (sums.get(request_key(request)) for request in requests)
    n_chosen, n_rejected = (len(request.token_ids) for request in requests)
    columns: dict[str, int | float] = {"chosen_n_states": n_chosen, "rejected_n_states": n_rejected}
    if chosen is not None and rejected is not None:
        columns |= {
            "chosen_rejected": float(chosen @ rejected),
            "chosen_chosen": float(chosen @ chosen),
            "rejected_rejected": float(rejected @ rejected),
        }
    return columns


def _split_by_response(comparison: Comparison, lengths: Sequence[int]) -> list[Comparison]:
    """Return the comparison of each response, out of one of all their tokens."""
    stops = np.cumsum(lengths)[:-1]
    top_stops = np.cumsum(comparison.n_top)[stops - 1] if len(stops) else stops
    columns = [
        np.split(column, top_stops if name.startswith("top_") else stops)
        for name, column in comparison._asdict().items()
    ]
    return [Comparison(*piece) for piece in zip(*columns, strict=True)]


def retained_head(engine: Engine, states: Tensor) -> Head | None:
    """Return the engine's head for use when another model is loaded or other adapters are on.

    Args:
        engine: the model.
        states: (tokens, model width), some of its hidden states.

    Returns:
        None where the model has no separate head, or its head cannot be used alone.
    """
    if engine.head is None:
        return None
    rows = states[:_CHECKED_ROWS]
    try:
        head = engine.head.retained()
        is_same = torch.allclose(head.logits(rows), engine.head.logits(rows), equal_nan=True)
    except ModelFailure:
        _LOG.debug("the head cannot be retained", exc_info=True)
        return None
    return head if is_same else None
