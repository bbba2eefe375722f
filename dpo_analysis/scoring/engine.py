"""Requests to token scores with one model: sorted batches, the trunk once, the head where a response is predicted.

This is the seam: ``Engine(model).score(requests, batch_tokens=...)`` returns flat arrays in the order of the requests.
"""

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.head import OwnHead, TokenColumns, chunk_rows, last_hidden_state, reduce_logits
from dpo_analysis.scoring.layout import Layout, lay_out
from dpo_analysis.scoring.memory import in_memory
from dpo_analysis.scoring.plan import Batch, distinct, plan_batches
from dpo_analysis.scoring.requests import Request, TokenScores
from dpo_analysis.scoring.weights import Damaged

BATCH_TOKENS = {"cpu": 4096, "mps": 8192, "cuda": 16384}
"""Padded tokens of one forward pass by kind of device, where the caller says nothing."""
_SAME_LOGP, _SAME_LOW_PRECISION = 1e-3, 0.05
"""Nats by which two ways through one model may differ: at most in float32, on average in 16 bits. Rounding stays ten
times below; a head or trunk that is not the model's does not."""
_PROBE = (13, 7)
"""Tokens of the two probe sequences; the shorter one is the beginning of the longer."""


class _Scored(NamedTuple):
    """One batch's results: response tokens of each member, (3, tokens) float32 and (2, tokens) int32."""

    batch: Batch
    lengths: np.ndarray
    floats: np.ndarray
    ints: np.ndarray


class Engine:
    """One model, ready to score.

    Attributes:
        path: ``trunk`` (batched, head at response positions) or ``whole`` (each sequence by the model's own forward),
            found out by a self-check on two short sequences.
        probe: hash of the outputs in that check; models that compute the same have the same.
    """

    def __init__(self, model: nn.Module) -> None:
        """Check ``model``, which is in eval mode and on its device, against its own plain forward.

        Raises:
            Damaged: its outputs are not numbers.
            InputError: it is not causal, so a response's tokens could see what follows them.
            MemoryError: not even a few tokens fit beside it.
        """
        self._model = model
        self.device = next(model.parameters()).device

        def work() -> OwnHead | None:
            with careful(self.device):
                return self._self_check()

        self._head = in_memory(work, self.device, "a probe of 20 tokens")
        self.path = "whole" if self._head is None else "trunk"

    @property
    def dtype(self) -> str:
        """The weights' type: float32, bfloat16 or float16."""
        return str(next(self._model.parameters()).dtype).removeprefix("torch.")

    def score(self, requests: Sequence[Request], *, batch_tokens: int) -> TokenScores:
        """Score every response token of ``requests``; no result depends on what else is in its batch beyond rounding.

        Raises:
            MemoryError: a batch of this budget did not fit; nothing of it is left in memory.
        """
        kept, inverse = distinct(requests)
        plan = plan_batches(kept, batch_tokens=batch_tokens)

        def work() -> list[_Scored]:
            with careful(self.device):
                layouts = (lay_out(kept, batch) for batch in plan)
                return [
                    _Scored(batch, layout.lengths, *_to_host(self._columns(layout)))
                    for batch, layout in zip(plan, layouts, strict=True)
                ]

        parts = in_memory(work, self.device, f"a batch of {batch_tokens} tokens")
        return _in_order(parts, len(kept), inverse)

    def _columns(self, layout: Layout) -> TokenColumns:
        input_ids = torch.from_numpy(layout.input_ids).to(self.device)
        labels = torch.from_numpy(layout.labels).to(self.device)
        if self._head is None:
            return self._whole(input_ids, layout, labels)
        output = self._head.hidden(input_ids)
        hidden = last_hidden_state(output)  # on the last device, where a model is spread over several
        rows, columns = (torch.from_numpy(one).to(hidden.device) for one in (layout.rows, layout.columns))
        states = hidden[rows, columns]  # (response tokens, model width)
        size = chunk_rows(self._vocabulary, self.device)
        chunks = zip(states.split(size), labels.split(size), strict=True)
        return _joined([reduce_logits(self._head.logits(output, some), wanted) for some, wanted in chunks])

    def _whole(self, input_ids: Tensor, layout: Layout, labels: Tensor) -> TokenColumns:
        """Each sequence alone through the model's own forward, for models whose trunk and head do not come apart."""
        done: list[TokenColumns] = []
        start = 0
        for row, length in enumerate(layout.lengths.tolist()):
            columns = torch.from_numpy(layout.columns[start : start + length]).to(self.device)
            alone = input_ids[row : row + 1, : int(columns[-1]) + 1]
            logits = self._own_logits(alone, columns)
            size = chunk_rows(logits.shape[-1], self.device)
            chunks = zip(logits.split(size), labels[start : start + length].split(size), strict=True)
            done += [reduce_logits(some, wanted) for some, wanted in chunks]
            start += length
        return _joined(done)

    def _own_logits(self, input_ids: Tensor, columns: Tensor) -> Tensor:
        """Logits (columns, vocabulary) of one sequence (1, width) at ``columns``."""
        if "logits_to_keep" in inspect.signature(self._model.forward).parameters:
            return self._model(input_ids=input_ids, use_cache=False, logits_to_keep=columns).logits[0]
        return self._model(input_ids=input_ids, use_cache=False).logits[0, columns]

    @property
    def _vocabulary(self) -> int:
        head = getattr(self._model, "get_output_embeddings", lambda: None)()
        weight = getattr(head, "weight", None)
        return int(weight.shape[0]) if weight is not None else int(self._model.config.vocab_size)  # type: ignore

    def _self_check(self) -> OwnHead | None:
        """The head that agrees with the model's own forward, padded and not; None if no way of parting it does."""
        long, short = _probe(self._model, self.device)
        plain = [self._model(input_ids=ids[None], use_cache=False).logits[0].float() for ids in (long, short)]
        self.probe = hashlib.sha256(plain[0].cpu().numpy().tobytes()).digest()
        if not any(torch.isfinite(logits).any() for logits in plain):
            raise Damaged("no finite output: its weights hold NaN or infinity; use another checkpoint")
        if not _agree(plain[0][: len(short)], plain[1], self.dtype):
            raise InputError("not a causal language model: a token's score depends on what follows; use a decoder")
        padded = torch.zeros((2, len(long)), dtype=torch.long, device=self.device)
        padded[0], padded[1, : len(short)] = long, short
        for trunk in _trunks(self._model):
            if self._parts(OwnHead(self._model, trunk), padded, plain):
                return OwnHead(self._model, trunk)
        return None

    def _parts(self, head: OwnHead, padded: Tensor, plain: list[Tensor]) -> bool:
        try:
            output = head.hidden(padded)
            states = last_hidden_state(output)
            found = [head.logits(output, states[row, : len(logits)]) for row, logits in enumerate(plain)]
        except (TypeError, ValueError, AttributeError, IndexError, KeyError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return False
        return all(
            one.shape == other.shape and _agree(one.float(), other, self.dtype)
            for one, other in zip(found, plain, strict=True)
        )


def _probe(model: nn.Module, device: torch.device) -> tuple[Tensor, Tensor]:
    """Two fixed sequences of token ids spread over the vocabulary, one the other's beginning."""
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    long = (torch.arange(1, _PROBE[0] + 1, device=device) * 7919) % rows
    return long, long[: _PROBE[1]]


def _trunks(model: nn.Module) -> list[nn.Module]:
    """Modules that may be all of the model but its head, likeliest first."""
    decoder = getattr(model, "get_decoder", lambda: None)()
    found = [module for module in (decoder, getattr(model, "base_model", None)) if isinstance(module, nn.Module)]
    return [module for index, module in enumerate(found) if module is not model and module not in found[:index]]


def _agree(one: Tensor, other: Tensor, dtype: str) -> bool:
    """Equal log-probs (tokens, vocabulary) up to the rounding of the weights' type; not-numbers in the same places."""
    finite = torch.isfinite(other)
    if not torch.equal(torch.isfinite(one), finite):
        return False
    gap = (one.log_softmax(-1) - other.log_softmax(-1)).abs()
    gap = gap[torch.isfinite(gap)]
    if gap.numel() == 0:
        return True
    return bool(gap.max() <= _SAME_LOGP) if dtype in ("float32", "float64") else bool(gap.mean() <= _SAME_LOW_PRECISION)


@contextmanager
def careful(device: torch.device) -> Iterator[None]:
    """No gradients, no autocast, no TF32; whatever the caller had set is put back."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _joined(chunks: list[TokenColumns]) -> TokenColumns:
    return TokenColumns(*(torch.cat(column) for column in zip(*chunks, strict=True)))


def _to_host(columns: TokenColumns) -> tuple[np.ndarray, np.ndarray]:
    """(3, tokens) float32 and (2, tokens) int32: two copies a batch, however many responses it holds."""
    floats = torch.stack([columns.logp, columns.entropy, columns.argmax_logp])
    return floats.cpu().numpy(), torch.stack([columns.rank, columns.argmax_id]).cpu().numpy()


def _in_order(parts: Sequence[_Scored], n_distinct: int, inverse: np.ndarray) -> TokenScores:
    """The batches' columns, back in the order of the requests, repeats filled in."""
    floats: list[np.ndarray] = [np.empty((3, 0), np.float32)] * n_distinct
    ints: list[np.ndarray] = [np.empty((2, 0), np.int32)] * n_distinct
    for part in parts:
        cuts = np.cumsum(part.lengths)[:-1]
        columns = np.split(part.floats, cuts, axis=1), np.split(part.ints, cuts, axis=1)
        for member, some_floats, some_ints in zip(part.batch.members, *columns, strict=True):
            floats[member], ints[member] = some_floats, some_ints
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
