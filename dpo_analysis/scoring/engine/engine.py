"""Requests to token scores with one model, by the fastest route that gives the model's own numbers.

This is the seam: ``Engine(model).score(requests, batch_tokens=...)`` returns flat arrays in the order of the requests.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.engine.float32 import in_float32
from dpo_analysis.scoring.engine.lm_heads import Head
from dpo_analysis.scoring.engine.memory import in_memory, is_out_of_memory
from dpo_analysis.scoring.engine.model_head import reduce_logits
from dpo_analysis.scoring.engine.packed_attention import NotPackable
from dpo_analysis.scoring.engine.packing import distinct
from dpo_analysis.scoring.engine.placement import device_of, is_offloaded
from dpo_analysis.scoring.engine.routes import Keep, Packed, Route, Scored, Whole, routes, to_host
from dpo_analysis.scoring.engine.trl_numerics import TrainerRoute, trainer_routes
from dpo_analysis.scoring.models.weight_files import Damaged
from dpo_analysis.scoring.requests import Request, TokenScores

BATCH_TOKENS = {"cpu": 2048, "mps": 8192, "cuda": 16384}
"""Tokens of one forward pass by kind of device, where the caller says nothing."""
_SAME_LOGP, _SAME_LOW_PRECISION = 1e-3, 0.05
"""Nats by which two ways through one model may differ: at most in float32, on average in 16 bits. Rounding stays ten
times below; a head, a trunk or an attention that is not the model's does not."""
_PROBES = ((5, 11, 8), (4, 7, 12))
"""The self-check: for each prompt its length, and the total lengths of prompt and response of two responses to it."""
FAILURES = (
    NotPackable,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
)
"""What a way through a model raises that is not the model's."""


Look = Callable[[Sequence[tuple[Request, np.ndarray]], Tensor], None]
"""Shown each forward's requests, each with its rows among the (rows, model width) final states that predict them."""


class Engine:
    """One model, ready to score.

    Attributes:
        path: ``packed`` (prompts shared, no padding), ``sorted`` (padded batches) or ``whole`` (each sequence by the
            model's own forward), found out by a self-check on two prompts with two short responses each; ``trainer``
            where its numerics were asked for.
        why: why no faster route would do; empty for ``packed``.
        probe: hash of the outputs in that check; models that compute the same have the same.
    """

    def __init__(self, model: nn.Module, *, numerics: str = "default") -> None:
        """Check ``model``, which is in eval mode and on its device, against its own plain forward.

        Args:
            model: a causal language model.
            numerics: ``default``, or ``trainer``: as training under bfloat16 autocast logs them.

        Raises:
            Damaged: its outputs are not numbers.
            InputError: it is not causal, so a response's tokens could see what follows them; or the trainer's numerics
                cannot be had of it.
            MemoryError: not even a few tokens fit beside it.
        """
        self._model = model
        self._numerics = numerics
        self.device = device_of(model)
        self.why = ""

        def work() -> Route:
            with careful(self.device):
                return self._choose()

        self._route = in_memory(work, self.device, "a probe of 40 tokens")
        self.path = self._route.name

    @property
    def dtype(self) -> str:
        """The weights' type: float32, bfloat16 or float16."""
        return str(next(self._model.parameters()).dtype).removeprefix("torch.")

    @property
    def model(self) -> nn.Module:
        """The language model itself, adapters in it."""
        return self._model

    @property
    def head(self) -> Head | None:
        """What turns final states into logits; None where trunk and head do not come apart."""
        return self._route.head

    def score(self, requests: Sequence[Request], *, batch_tokens: int, look: Look | None = None) -> TokenScores:
        """Score every response token of ``requests``; no result depends on what else is in its batch beyond rounding.

        Args:
            requests: what to score.
            batch_tokens: the budget of one forward, in tokens.
            look: shown the final states on the way, without repeats of equal requests.

        Raises:
            MemoryError: a batch of this budget did not fit; nothing of it is left in memory.
        """
        kept, inverse = distinct(requests)
        keep = _keep(look, kept) if look else None

        def work() -> list[Scored]:
            with careful(self.device):
                return list(self._route.score(kept, batch_tokens, keep))

        parts = in_memory(work, self.device, f"a batch of {batch_tokens} tokens")
        return _in_order(parts, len(kept), inverse)

    def states(self, requests: Sequence[Request], *, batch_tokens: int, look: Look) -> None:
        """Show ``look`` the final states of ``requests`` without scoring them; errors as ``score``."""
        kept, _ = distinct(requests)

        def work() -> None:
            with careful(self.device):
                self._route.states(kept, batch_tokens, _keep(look, kept))

        in_memory(work, self.device, f"a batch of {batch_tokens} tokens")

    def exact(self, requests: Sequence[Request]) -> TokenScores | None:
        """The scores in float32 throughout, each sequence alone: what 16 bits fall short of.

        Returns:
            None where the scores are so anyway, where weights are not in memory, or where it takes more than there is.
        """
        if self._precision == "float32" or is_offloaded(self._model):
            return None
        kept, inverse = distinct(requests)

        def work() -> list[Scored]:
            with in_float32(self._model), careful(self.device):
                return list(Whole(self._model).score(kept, 0))

        try:
            parts = in_memory(work, self.device, "the weights in float32")
        except (MemoryError, *FAILURES):
            return None
        return _in_order(parts, len(kept), inverse)

    @property
    def _precision(self) -> str:
        """The type that most of the arithmetic rounds to."""
        return "bfloat16" if self._numerics == TrainerRoute.name else self.dtype

    def _choose(self) -> Route:
        """The fastest route that agrees with the model's own forward on the probes."""
        requests = _probes(self._model)
        plain = [self._plain(request) for request in requests]
        self.probe = hashlib.sha256(plain[0][0].tobytes()).digest()
        if not any(np.isfinite(floats).any() for floats, _ in plain):
            raise Damaged("no finite output: its weights hold NaN or infinity; use another checkpoint")
        self._refuse_look_ahead(requests[0])
        expected = np.concatenate([floats for floats, _ in plain], axis=1)
        trainer = self._numerics == TrainerRoute.name
        for route in trainer_routes(self._model) if trainer else routes(self._model):
            reason = self._differs(route, requests, expected)
            if not reason:
                self.why = "" if route.name in (Packed.name, TrainerRoute.name) else self.why
                return route
            self.why = self.why or reason
        if trainer:
            why = self.why or "its head is no plain linear map"
            raise InputError(f"no numerics of a trainer for this model: {why}; leave out --numerics")
        raise Damaged("no two forwards of it agree; use another checkpoint")

    def _plain(self, request: Request) -> tuple[np.ndarray, np.ndarray]:
        """The columns of one request by the model's own forward and nothing else."""
        ids = np.concatenate([request.prompt_token_ids, request.token_ids[:-1]])
        logits = self._model(input_ids=self._ids(ids), use_cache=False).logits[0, len(request.prompt_token_ids) - 1 :]
        return to_host(reduce_logits(logits, torch.from_numpy(request.token_ids).to(logits.device)))

    def _ids(self, ids: np.ndarray) -> Tensor:
        return torch.from_numpy(ids)[None].to(self.device)

    def _refuse_look_ahead(self, request: Request) -> None:
        """What a causal model says of a beginning does not depend on what follows it."""
        longer, _ = self._plain(request)
        shorter, _ = self._plain(Request(request.prompt_token_ids, request.token_ids[:-2]))
        if not _agree(longer[:, : shorter.shape[1]], shorter, self.dtype):
            raise InputError("not a causal language model: a token's score depends on what follows; use a decoder")

    def _differs(self, route: Route, requests: Sequence[Request], expected: np.ndarray) -> str:
        """Why ``route`` will not do for this model; empty where it will."""
        try:
            parts = list(route.score(requests, 1 << 20))
        except FAILURES as error:
            if is_out_of_memory(error):
                raise
            return f"{route.name}: {type(error).__name__} {error}"[:160]
        scores = _in_order(parts, len(requests), np.arange(len(requests)))
        found = np.stack([scores.logp, scores.entropy, scores.argmax_logp])
        if found.shape == expected.shape and _agree(found, expected, self._precision):
            return ""
        return f"{route.name}: other numbers than the model's own forward"


def _keep(look: Look, requests: Sequence[Request]) -> Keep:
    return lambda takes, states: look([(requests[place], rows) for place, rows in takes], states)


def _probes(model: nn.Module) -> list[Request]:
    """Fixed requests spread over the vocabulary: two prompts with two responses each, that start alike."""
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    requests = []
    for number, (prompt, *totals) in enumerate(_PROBES):
        ids = (np.arange(1, 14, dtype=np.int64) * 7919 + number * 104729) % rows
        for which, total in enumerate(totals):
            response = ids[prompt:total].copy()
            response[1:] = (response[1:] + which * 31) % rows
            requests.append(Request(ids[:prompt], response))
    return requests


def _agree(one: np.ndarray, other: np.ndarray, dtype: str) -> bool:
    """Equal columns (3, tokens) up to the rounding of the weights' type; not-numbers in the same places."""
    finite = np.isfinite(other)
    if not np.array_equal(np.isfinite(one), finite):
        return False
    gap = np.abs(one[finite] - other[finite])
    if not gap.size:
        return True
    return bool(gap.max() <= _SAME_LOGP) if dtype in ("float32", "float64") else bool(gap.mean() <= _SAME_LOW_PRECISION)


@contextmanager
def careful(device: torch.device) -> Iterator[None]:
    """No gradients, no autocast, no TF32; whatever the caller had set is put back."""
    with full_precision(device), torch.inference_mode():
        yield


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No autocast, no TF32; whatever the caller had set is put back."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _in_order(parts: Sequence[Scored], n_distinct: int, inverse: np.ndarray) -> TokenScores:
    """The forwards' columns, back in the order of the requests, repeats filled in."""
    floats: list[np.ndarray] = [np.empty((3, 0), np.float32)] * n_distinct
    ints: list[np.ndarray] = [np.empty((2, 0), np.int32)] * n_distinct
    for part in parts:
        for place, tokens in part.takes:
            floats[place], ints[place] = part.floats[:, tokens], part.ints[:, tokens]
    lengths = np.array([floats[place].shape[1] for place in inverse], dtype=np.int64)
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
