"""The evidence of one part of one model: collected from the final states as they pass, and made into tables."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from dpo_analysis.runs import Part
from dpo_analysis.schema import EVIDENCE_SCHEMAS, HIDDEN_SCHEMA, SIDES
from dpo_analysis.scoring.engine.engine import FAILURES, Engine
from dpo_analysis.scoring.engine.lm_heads import Head
from dpo_analysis.scoring.engine.memory import is_out_of_memory, release
from dpo_analysis.scoring.evidence.distributions import Compared, compare
from dpo_analysis.scoring.evidence.reference_states import Key, key_of
from dpo_analysis.scoring.oom_retry import score_fitting
from dpo_analysis.scoring.requests import Request, TokenScores

_CHECKED = 4
"""Rows on which a head that stays is compared with the one it was taken from."""
COMPARED = ("topk", "kl")
"""The kinds for which policy and reference must meet."""


class Beside(NamedTuple):
    """The reference as a policy meets it: its head, and its states of a request (None where they did not fit)."""

    head: Head
    states: Callable[[Request], Tensor | None]


def wanted_requests(part: Part, rows: frozenset[int]) -> list[Request]:
    """Both responses of the pairs of ``part`` that lie in ``rows``."""
    return [
        Request(response.prompt_token_ids, response.token_ids)
        for row, pair in zip(part.rows, part.pairs, strict=True)
        if row in rows
        for response in pair.responses.values()
    ]


class PartGathering:
    """See ``requests.Gathering``.

    Args:
        engine: the model.
        part: its part.
        rows: the pairs that are wanted.
        kinds: what is still missing of them.
        beside: the reference, where policy and reference are compared.
        store: takes each kind's table; called by ``write``.
        spend: told in the end how many seconds it took.
    """

    def __init__(
        self,
        engine: Engine,
        part: Part,
        rows: frozenset[int],
        *,
        kinds: Sequence[str],
        beside: Beside | None,
        store: Callable[[str, pa.Table], None],
        spend: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._engine, self._part, self._rows, self._kinds = engine, part, rows, kinds
        self._beside, self._store, self._spend = beside, store, spend
        self._requests = wanted_requests(part, rows)
        self._keys = {key_of(request) for request in self._requests}
        self._compared: dict[Key, Compared] = {}
        self._sums: dict[Key, np.ndarray] = {}
        self._seconds = 0.0

    def score(self, requests: Sequence[Request], *, batch_tokens: int) -> TokenScores:
        """Score as the engine does, and look at the states on the way."""
        return self._engine.score(requests, batch_tokens=batch_tokens, look=self._look)

    def collect(self, batch_tokens: int) -> None:
        """See ``requests.Gathering``."""
        begin = time.monotonic()
        show_states(self._engine, self._requests, batch_tokens, self._look)
        self._seconds = time.monotonic() - begin

    def write(self) -> None:
        """See ``requests.Gathering``."""
        begin = time.monotonic()
        for kind in self._kinds:
            make = self._hidden_table if kind == "hidden" else self._compared_table
            self._store(kind, make(kind))
        self._spend(self._seconds + time.monotonic() - begin)

    def _look(self, takes: Sequence[tuple[Request, np.ndarray]], states: Tensor) -> None:
        begin = time.monotonic()
        some = [(request, states[torch.from_numpy(rows).to(states.device)]) for request, rows in self._own(takes)]
        if some and "hidden" in self._kinds:
            self._sums |= {key_of(request): own.cpu().double().sum(dim=0).numpy() for request, own in some}
        if some and self._beside is not None:
            self._compare(some, self._beside)
        self._seconds += time.monotonic() - begin

    def _own(self, takes: Sequence[tuple[Request, np.ndarray]]) -> list[tuple[Request, np.ndarray]]:
        return [(request, rows) for request, rows in takes if key_of(request) in self._keys]

    def _compare(self, some: Sequence[tuple[Request, Tensor]], beside: Beside) -> None:
        """Compare all requests of a forward at once; those without room for it are left out."""
        met = [(request, own, other) for request, own in some if (other := beside.states(request)) is not None]
        head = self._engine.head
        if not met or head is None:
            return
        states = torch.cat([own for _, own, _ in met]), torch.cat([other for _, _, other in met])
        labels = torch.from_numpy(np.concatenate([request.token_ids for request, _, _ in met]).astype(np.int64))
        try:
            found = compare((head, beside.head), states, labels)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            found = None
        if found is None:
            release(self._engine.device)
            return
        self._compared |= zip(
            [key_of(request) for request, _, _ in met], _split(found, [len(own) for _, own, _ in met]), strict=True
        )

    def _compared_table(self, kind: str) -> pa.Table:
        schema = EVIDENCE_SCHEMAS[kind]
        columns: dict[str, list] = {name: [] for name in schema.names}
        for row, pair in zip(self._part.rows, self._part.pairs, strict=True):
            for side, response in pair.responses.items() if row in self._rows else ():
                found = self._compared.get(key_of(Request(response.prompt_token_ids, response.token_ids)))
                for name, value in zip(schema.names, (row, pair.pair.pair_id, side), strict=False):
                    columns[name].append(value)
                for name in schema.names[3:]:
                    columns[name].append(None if found is None else getattr(found, name))
        return pa.table(columns, schema=schema)

    def _hidden_table(self, kind: str) -> pa.Table:
        rows = []
        for row, pair in zip(self._part.rows, self._part.pairs, strict=True):
            if row in self._rows and all(side in pair.responses for side in SIDES):
                both = [pair.responses[side] for side in SIDES]
                keys = [key_of(Request(one.prompt_token_ids, one.token_ids)) for one in both]
                lengths = [len(one.token_ids) for one in both]
                rows.append({"row": row, "pair_id": pair.pair.pair_id} | _products(self._sums, keys, lengths))
        return pa.Table.from_pylist(rows, schema=HIDDEN_SCHEMA)


class _Unscored:
    """A scorer that shows the states and scores nothing."""

    def __init__(self, engine: Engine, look: Callable[[Sequence[tuple[Request, np.ndarray]], Tensor], None]) -> None:
        self._engine, self._look = engine, look

    def score(self, requests: Sequence[Request], *, batch_tokens: int) -> TokenScores:
        self._engine.states(requests, batch_tokens=batch_tokens, look=self._look)
        floats, ints = np.zeros(0, np.float32), np.zeros(0, np.int32)
        return TokenScores(np.zeros(len(requests) + 1, np.int64), floats, floats, floats, ints, ints)


def show_states(
    engine: Engine,
    requests: Sequence[Request],
    batch_tokens: int,
    look: Callable[[Sequence[tuple[Request, np.ndarray]], Tensor], None],
) -> None:
    """Show ``look`` the states of ``requests`` in the memory there is; those that do not fit alone are left out."""
    score_fitting(_Unscored(engine, look), requests, batch_tokens)


def _products(sums: Mapping[Key, np.ndarray], keys: Sequence[Key], lengths: Sequence[int]) -> dict[str, float | None]:
    """Inner products of two responses' sums of states, float64; None where a response did not fit."""
    chosen, rejected = (sums.get(key) for key in keys)
    numbers = dict(zip(("chosen_n_states", "rejected_n_states"), lengths, strict=True))
    if chosen is None or rejected is None:
        return numbers
    products = {"chosen_rejected": chosen @ rejected, "chosen_chosen": chosen @ chosen}
    return numbers | products | {"rejected_rejected": rejected @ rejected}


def _split(found: Compared, lengths: Sequence[int]) -> list[Compared]:
    """What was compared at once, response by response."""
    stops = np.cumsum(lengths)[:-1]
    tops = np.cumsum(found.n_top)[stops - 1] if len(stops) else stops
    pieces = [np.split(column, tops if name.startswith("top_") else stops) for name, column in found._asdict().items()]
    return [Compared(*piece) for piece in zip(*pieces, strict=True)]


def kept_head(engine: Engine, states: Tensor) -> Head | None:
    """The engine's head, to be used when another model is loaded or other adapters act; None where that fails."""
    if engine.head is None:
        return None
    some = states[:_CHECKED]
    try:
        head = engine.head.kept()
        same = torch.allclose(head.logits(some), engine.head.logits(some), equal_nan=True)
    except FAILURES as error:
        if is_out_of_memory(error):
            raise
        return None
    return head if same else None
