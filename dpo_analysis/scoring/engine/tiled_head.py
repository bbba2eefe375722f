"""From hidden states to numbers per token, when the head is a plain linear map: the vocabulary tile by tile.

A tile of logits is (rows, columns) and stays in the cache; running maxima and sums join the tiles (the online softmax
of Milakov and Gimelshein 2018, arXiv:1805.02867). The logits of a pack, let alone of all positions, never exist.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

ROWS = {"cpu": 512, "cuda": 1024}
"""Response positions per block."""
CPU_COLUMNS = 1024
"""Vocabulary entries per tile on a CPU: 512 x 1024 float32 logits are 2 MiB; an accelerator takes them all at once."""
FAR_BELOW = -80.0
"""Nats below the maximum at which an entry stops counting: its share is 2e-35. Further down exponentials are
denormal, up to 35 times slower on a CPU, and 0 x -inf would be NaN."""


class TokenColumns(NamedTuple):
    """What is kept of each response token, each (tokens,): float32 in nats, or int32."""

    logp: Tensor
    entropy: Tensor
    argmax_logp: Tensor
    rank: Tensor
    argmax_id: Tensor


def join_columns(parts: list[TokenColumns]) -> TokenColumns:
    """The columns of several blocks, one behind the other."""
    return TokenColumns(*(torch.cat(column) for column in zip(*parts, strict=True)))


def score_rows(
    states: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, *, logp_only: bool = False
) -> TokenColumns:
    """Log-prob, entropy and rank of ``labels`` and the most likely token at every row; sums in float32.

    Args:
        states: (rows, d) what the trunk hands to the head.
        weight: (vocabulary, d) of the head.
        bias: (vocabulary,) or None.
        labels: (rows,) int64.
        logp_only: leave the other columns empty, NaN and 0: how the benchmark tells what they cost.
    """
    size = ROWS.get(states.device.type, ROWS["cuda"])
    blocks = zip(states.split(size), labels.split(size), strict=True)
    return join_columns([_score_block(some, weight, bias, wanted, logp_only) for some, wanted in blocks])


@dataclass(slots=True)
class _Running:
    """What is known of each row after some tiles; ``weighted`` is the sum of exp(z - top) * (z - top)."""

    top: Tensor
    total: Tensor
    weighted: Tensor
    best: Tensor
    above: Tensor
    own: Tensor
    logp_only: bool


def _score_block(states: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, logp_only: bool) -> TokenColumns:
    count, vocabulary = len(labels), weight.shape[0]
    width = min(vocabulary, CPU_COLUMNS if states.device.type == "cpu" else vocabulary)
    running = _start(states, weight, bias, labels, logp_only)
    tile = torch.empty(count * width, dtype=torch.float32, device=states.device)
    other = torch.empty_like(tile)
    for first in range(0, vocabulary, width):
        columns = min(width, vocabulary - first)
        z, scratch = (buffer[: count * columns].view(count, columns) for buffer in (tile, other))
        _logits(states, weight[first : first + columns], z)
        if bias is not None:
            z += bias[first : first + columns]
        _take_tile(running, z, scratch, labels - first, first)
    log_total = running.total.log()
    if logp_only:
        nothing, zero = torch.full_like(log_total, torch.nan), torch.zeros_like(labels, dtype=torch.int32)
        return TokenColumns(running.own - running.top - log_total, nothing, nothing, zero, zero)
    rank = torch.where(running.best == labels, 1, running.above + 1)
    return TokenColumns(
        logp=running.own - running.top - log_total,
        entropy=log_total - running.weighted / running.total,
        argmax_logp=-log_total,
        rank=rank.int(),
        argmax_id=running.best.int(),
    )


def _start(states: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, logp_only: bool) -> _Running:
    """Before the first tile. The label's logit is needed from the start, to count what is above it."""
    own = (states.float() * weight[labels].float()).sum(dim=1)
    own = own if bias is None else own + bias[labels].float()
    zero, whole = torch.zeros_like(own), torch.zeros_like(labels)
    return _Running(torch.full_like(own, -torch.inf), zero, zero.clone(), whole, whole.clone(), own, logp_only)


def _logits(states: Tensor, weight: Tensor, out: Tensor) -> None:
    """(rows, d) times (columns, d) transposed, float32 into ``out`` (rows, columns)."""
    if weight.dtype == torch.float32:
        torch.mm(states, weight.t(), out=out)
    elif states.device.type == "cuda":
        out.copy_(torch.mm(states, weight.t(), out_dtype=torch.float32))
    else:
        out.copy_(torch.mm(states, weight.t()))


def _take_tile(running: _Running, z: Tensor, scratch: Tensor, local: Tensor, first: int) -> None:
    """Join one tile of logits into ``running``; ``local`` are the labels counted from the tile's first column."""
    inside = ((local >= 0) & (local < z.shape[1])).nonzero()[:, 0]
    if len(inside):
        # from here on the label's logit is the one of the matrix product, as all others are
        running.own[inside] = z[inside, local[inside]]
    top = z.amax(dim=1)
    if not running.logp_only:
        _rank_tile(running, z, scratch, top, first)
    peak = torch.maximum(running.top, top)
    shift = torch.where(running.top == -torch.inf, 0.0, running.top - peak)
    scale = shift.exp()
    z -= torch.where(peak == -torch.inf, 0.0, peak)[:, None]
    z.clamp_(min=FAR_BELOW)
    torch.exp(z, out=scratch)
    before, running.top = running.total, peak
    running.total = scale * before + scratch.sum(dim=1)
    if not running.logp_only:
        running.weighted = scale * (running.weighted + shift * before) + scratch.mul_(z).sum(dim=1)


def _rank_tile(running: _Running, z: Tensor, scratch: Tensor, top: Tensor, first: int) -> None:
    """Count the logits above the labels', and the best so far; ``top`` (rows,) are the tile's greatest."""
    running.above += torch.gt(z, running.own[:, None], out=scratch).sum(dim=1).long()
    risen = (top > running.top).nonzero()[:, 0]
    if len(risen):
        running.best[risen] = z[risen].argmax(dim=1) + first
