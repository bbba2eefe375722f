"""Token scores of requests by one model, on the fastest route that gives the same numbers as the model's own forward.

``Engine(model).score(requests, batch_tokens=...)`` returns flat arrays in the order of the requests.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.engine.float32 import full_precision_inference, in_float32
from dpo_analysis.scoring.engine.lm_heads import Head
from dpo_analysis.scoring.engine.memory import guard_memory
from dpo_analysis.scoring.engine.model_errors import ModelFailure
from dpo_analysis.scoring.engine.model_head import reduce_logits
from dpo_analysis.scoring.engine.packing import deduplicate
from dpo_analysis.scoring.engine.placement import input_device, is_offloaded
from dpo_analysis.scoring.engine.routes import (
    IndexedStatesHook,
    PackedRoute,
    PassScores,
    RequestRows,
    Route,
    WholeRoute,
    candidate_routes,
    to_numpy,
)
from dpo_analysis.scoring.engine.self_check import check_requests, columns_agree
from dpo_analysis.scoring.engine.trl_numerics import TrainerRoute, trainer_routes
from dpo_analysis.scoring.models.weight_files import DamagedWeights
from dpo_analysis.scoring.requests import Request, TokenScores

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH_TOKENS = {"cpu": 2048, "mps": 8192, "cuda": 16384}
"""Tokens of one forward pass by kind of device, where the caller does not say."""
_CHECK_BUDGET = 1 << 20
"""Tokens of a forward pass in the self-check: all its requests go through the model together, as in real batches."""
_LOG = logging.getLogger(__name__)

StatesHook = Callable[[Sequence[tuple[Request, np.ndarray]], Tensor], None]
"""Called after each forward pass with its requests, each with its rows among the final hidden states (rows, model
width), and with these states; row i of a request's rows predicts token i of its response."""


class Engine:
    """One model, ready to score.

    Attributes:
        device: where the model takes its token ids.
        route_name: ``packed`` (prompts shared, no padding), ``sorted`` (padded batches) or ``whole`` (each sequence by
            the model's own forward), chosen by a self-check on two prompts with two short responses each; ``trainer``
            where the trainer's numerics are asked for.
        fallback_reason: why no faster route fits the model; empty for ``packed`` and ``trainer``.
        fingerprint: sha256 of the model's outputs in that check, 32 bytes; equal for models that compute the same.
    """

    def __init__(self, model: nn.Module, *, numerics: str = "default") -> None:
        """Check ``model``, which is in eval mode and on its device, against its own plain forward.

        Args:
            model: a causal language model.
            numerics: ``default``, or ``trainer``: as training under bfloat16 autocast logs them.

        Raises:
            DamagedWeights: its outputs are not numbers.
            InputError: it is not causal, so a response's tokens could see what follows them; or the trainer's numerics
                cannot be had of it.
            MemoryError: not even a few tokens fit beside it.
        """
        # not checked: a model of another class may have the same methods
        self._model = cast("PreTrainedModel", model)
        self._numerics = numerics
        self.device = input_device(model)
        self.fallback_reason = ""

        def work() -> Route:
            with full_precision_inference(self.device):
                return self._choose_route()

        self._route = guard_memory(work, self.device, "a probe of 40 tokens")
        self.route_name = self._route.name

    @property
    def dtype(self) -> str:
        """The type of the weights: float32, bfloat16 or float16."""
        return str(next(self._model.parameters()).dtype).removeprefix("torch.")

    @property
    def model(self) -> "PreTrainedModel":
        """The language model itself, with the adapters that are in it."""
        return self._model

    @property
    def head(self) -> Head | None:
        """The output head, from final hidden states to logits; None where trunk and head do not come apart."""
        return self._route.head

    def score(self, requests: Sequence[Request], *, batch_tokens: int, hook: StatesHook | None = None) -> TokenScores:
        """Return the scores of every response token; the other requests of a batch only change the rounding.

        Args:
            requests: the responses to score.
            batch_tokens: the budget of one forward pass, in tokens.
            hook: shown the final hidden states of each pass, without repeats of equal requests.

        Raises:
            MemoryError: a batch of this budget did not fit; nothing of it is left in memory.
        """
        unique, inverse = deduplicate(requests)
        indexed_hook = _indexed(hook, unique) if hook else None

        def work() -> list[PassScores]:
            with full_precision_inference(self.device):
                return list(self._route.score(unique, batch_tokens, indexed_hook))

        passes = guard_memory(work, self.device, f"a batch of {batch_tokens} tokens")
        return _in_request_order(passes, len(unique), inverse)

    def show_states(self, requests: Sequence[Request], *, batch_tokens: int, hook: StatesHook) -> None:
        """Show ``hook`` the final hidden states of ``requests`` without scoring them; errors as ``score``."""
        unique, _ = deduplicate(requests)

        def work() -> None:
            with full_precision_inference(self.device):
                self._route.show_states(unique, batch_tokens, _indexed(hook, unique))

        guard_memory(work, self.device, f"a batch of {batch_tokens} tokens")

    def score_in_float32(self, requests: Sequence[Request]) -> TokenScores | None:
        """Score ``requests`` in float32 throughout, each sequence alone, to measure what 16 bits cost.

        Returns:
            None where the scores are in float32 anyway, where weights are not in memory, or where the widened weights
            do not fit.
        """
        if self._precision == "float32" or is_offloaded(self._model):
            return None
        unique, inverse = deduplicate(requests)

        def work() -> list[PassScores]:
            with in_float32(self._model), full_precision_inference(self.device):
                return list(WholeRoute(self._model).score(unique, 0))

        try:
            passes = guard_memory(work, self.device, "the weights in float32")
        except (MemoryError, ModelFailure):
            _LOG.debug("the model cannot be scored in float32", exc_info=True)
            return None
        return _in_request_order(passes, len(unique), inverse)

    @property
    def _precision(self) -> str:
        """The type that most of the arithmetic rounds to."""
        return "bfloat16" if self._numerics == TrainerRoute.name else self.dtype

    def _choose_route(self) -> Route:
        """Return the fastest route that agrees with the model's own forward on the check's requests."""
        requests = check_requests(self._model)
        plain = [self._plain_columns(request) for request in requests]
        self.fingerprint = hashlib.sha256(plain[0][0].tobytes()).digest()
        if not any(np.isfinite(floats).any() for floats, _ in plain):
            raise DamagedWeights("no finite output: its weights hold NaN or infinity; use another checkpoint")
        self._refuse_look_ahead(requests[0])
        expected = np.concatenate([floats for floats, _ in plain], axis=1)
        is_trainer = self._numerics == TrainerRoute.name
        for route in trainer_routes(self._model) if is_trainer else candidate_routes(self._model):
            reason = self._mismatch(route, requests, expected)
            if not reason:
                fastest = route.name in (PackedRoute.name, TrainerRoute.name)
                self.fallback_reason = "" if fastest else self.fallback_reason
                return route
            self.fallback_reason = self.fallback_reason or reason
        if is_trainer:
            why = self.fallback_reason or "its head is no plain linear map"
            raise InputError(f"no --numerics trainer for this model: {why}; leave out --numerics")
        raise DamagedWeights("no two forwards of it agree; use another checkpoint")

    def _plain_columns(self, request: Request) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of one request, as ``to_numpy`` does, by the model's own forward and nothing else."""
        ids = np.concatenate([request.prompt_token_ids, request.token_ids[:-1]])
        input_ids = torch.from_numpy(ids)[None].to(self.device)
        logits = self._model(input_ids=input_ids, use_cache=False).logits[0, len(request.prompt_token_ids) - 1 :]
        return to_numpy(reduce_logits(logits, torch.from_numpy(request.token_ids).to(logits.device)))

    def _refuse_look_ahead(self, request: Request) -> None:
        """Refuse a model whose scores of a beginning depend on what follows it.

        Raises:
            InputError: they do.
        """
        longer, _ = self._plain_columns(request)
        shorter, _ = self._plain_columns(Request(request.prompt_token_ids, request.token_ids[:-2]))
        if not columns_agree(longer[:, : shorter.shape[1]], shorter, self.dtype):
            raise InputError("not a causal language model: a token's score depends on later tokens; use a decoder")

    def _mismatch(self, route: Route, requests: Sequence[Request], expected: np.ndarray) -> str:
        """Return why ``route`` does not fit this model; empty where it does.

        Args:
            route: the route to check.
            requests: the check's requests.
            expected: their logp, entropy and argmax_logp by the model's own forward, (3, tokens), nats.
        """
        try:
            passes = list(route.score(requests, _CHECK_BUDGET))
        except ModelFailure as error:
            _LOG.debug("route %s does not fit this model", route.name, exc_info=True)
            return f"{route.name}: {error}"[:160]
        scores = _in_request_order(passes, len(requests), np.arange(len(requests)))
        columns = np.stack([scores.logp, scores.entropy, scores.argmax_logp])
        if columns.shape == expected.shape and columns_agree(columns, expected, self._precision):
            return ""
        return f"{route.name}: other numbers than the model's own forward"


def _indexed(hook: StatesHook, requests: Sequence[Request]) -> IndexedStatesHook:
    """Return ``hook`` as a route calls it, with indices into ``requests``."""

    def indexed_hook(request_rows: RequestRows, states: Tensor) -> None:
        hook([(requests[index], rows) for index, rows in request_rows], states)

    return indexed_hook


def _in_request_order(passes: Sequence[PassScores], n_unique: int, inverse: np.ndarray) -> TokenScores:
    """Return the scores of all passes in the order of the requests, with the scores of repeats filled in.

    Args:
        passes: each distinct request is in one of them.
        n_unique: number of distinct requests.
        inverse: (requests,) int64, index of each request among the distinct ones.
    """
    floats: list[np.ndarray] = [np.empty((3, 0), np.float32)] * n_unique
    ints: list[np.ndarray] = [np.empty((2, 0), np.int32)] * n_unique
    for done in passes:
        for index, rows in done.request_rows:
            floats[index], ints[index] = done.floats[:, rows], done.ints[:, rows]
    lengths = np.array([floats[index].shape[1] for index in inverse], dtype=np.int64)
    logp, entropy, argmax_logp = np.concatenate([np.empty((3, 0), np.float32), *(floats[i] for i in inverse)], axis=1)
    rank, argmax_id = np.concatenate([np.empty((2, 0), np.int32), *(ints[i] for i in inverse)], axis=1)
    return TokenScores(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        logp=logp,
        entropy=entropy,
        argmax_logp=argmax_logp,
        rank=rank,
        argmax_id=argmax_id,
    )
