"""From hidden states to numbers per token where the head is a plain linear layer: the vocabulary tile by tile.

A tile of logits is (rows, columns) and stays in the cache; running maxima and sums join the tiles (the online softmax
of Milakov and Gimelshein 2018, arXiv:1805.02867). The logits of a pack, let alone of all positions, never exist.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK_ROWS = {"cpu": 512, "cuda": 1024}
"""Response tokens per block, by kind of device."""
CPU_TILE_COLUMNS = 1024
"""Vocabulary entries per tile on a CPU: 512 x 1024 float32 logits are 2 MiB; an accelerator takes them all at once."""
LOGIT_FLOOR = -80.0
"""Nats below the maximum at which an entry stops counting: its share is 2e-35. Further down exponentials are
denormal, up to 35 times slower on a CPU, and 0 x -inf would be NaN."""


class TokenColumns(NamedTuple):
    """What a model says about each response token.

    Attributes:
        logp: log-prob of the token, nats, float32, (tokens,).
        entropy: of the next-token distribution, nats, float32, (tokens,).
        argmax_logp: log-prob of the likeliest token, nats, float32, (tokens,).
        rank: 1 + entries with a higher log-prob, int32, (tokens,).
        argmax_id: the likeliest token, int32, (tokens,).
    """

    logp: Tensor
    entropy: Tensor
    argmax_logp: Tensor
    rank: Tensor
    argmax_id: Tensor


def concat_columns(parts: list[TokenColumns]) -> TokenColumns:
    """Return the concatenated columns of several blocks of tokens."""
    return TokenColumns(*(torch.cat(column) for column in zip(*parts, strict=True)))


def score_rows(
    states: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, *, logp_only: bool = False
) -> TokenColumns:
    """Return log-prob, entropy and rank of ``labels``, and the likeliest token, at every row.

    Sums over the vocabulary are in float32 whatever the type of the weights: a log-softmax in bfloat16 was measured to
    be 0.089 nats off at worst, one in float32 of bfloat16 logits 0.020.

    Args:
        states: (tokens, d), final hidden states of the trunk.
        weight: (vocabulary, d), of the head.
        bias: (vocabulary,), or None.
        labels: (tokens,) int64.
        logp_only: leave the other columns empty, NaN and 0; the benchmark measures their cost by it.
    """
    size = BLOCK_ROWS.get(states.device.type, BLOCK_ROWS["cuda"])
    blocks = zip(states.split(size), labels.split(size), strict=True)
    return concat_columns([_score_block(rows, weight, bias, ids, logp_only) for rows, ids in blocks])


@dataclass(slots=True)
class _OnlineSoftmax:
    """The softmax of each row over the tiles so far; z is a logit, and every tensor is (rows,).

    Attributes:
        max_logit: the greatest z.
        total: sum of exp(z - max_logit).
        weighted: sum of exp(z - max_logit) * (z - max_logit).
        argmax_id: the entry with the greatest z.
        n_above: number of entries whose z is greater than the label's.
        label_logit: the label's z.
        logp_only: leave out what only entropy, rank and argmax need.
    """

    max_logit: Tensor
    total: Tensor
    weighted: Tensor
    argmax_id: Tensor
    n_above: Tensor
    label_logit: Tensor
    logp_only: bool


def _score_block(states: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, logp_only: bool) -> TokenColumns:
    """Return the columns of one block of rows; arguments as of ``score_rows``."""
    count, vocabulary = len(labels), weight.shape[0]
    width = min(vocabulary, CPU_TILE_COLUMNS if states.device.type == "cpu" else vocabulary)
    running = _start(states, weight, bias, labels, logp_only)
    # the same two buffers for every tile, so that they stay in the cache
    logits_buffer = torch.empty(count * width, dtype=torch.float32, device=states.device)
    scratch_buffer = torch.empty_like(logits_buffer)
    for first in range(0, vocabulary, width):
        columns = min(width, vocabulary - first)
        z, scratch = (buffer[: count * columns].view(count, columns) for buffer in (logits_buffer, scratch_buffer))
        multiply_into(states, weight[first : first + columns], z)
        if bias is not None:
            z += bias[first : first + columns]
        _add_tile(running, z, scratch, labels - first, first)
    log_total = running.total.log()
    if logp_only:
        nothing, zero = torch.full_like(log_total, torch.nan), torch.zeros_like(labels, dtype=torch.int32)
        return TokenColumns(running.label_logit - running.max_logit - log_total, nothing, nothing, zero, zero)
    # before its tile the label's logit is a sum in another order, so that an entry below it could seem to be above
    rank = torch.where(running.argmax_id == labels, 1, running.n_above + 1)
    return TokenColumns(
        logp=running.label_logit - running.max_logit - log_total,
        entropy=log_total - running.weighted / running.total,
        argmax_logp=-log_total,
        rank=rank.int(),
        argmax_id=running.argmax_id.int(),
    )


def _start(states: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, logp_only: bool) -> _OnlineSoftmax:
    """Return the state before the first tile.

    The label's logit is needed from the start, to count the entries above it.
    """
    label_logit = (states.float() * weight[labels].float()).sum(dim=1)
    label_logit = label_logit if bias is None else label_logit + bias[labels].float()
    zero, zero_id = torch.zeros_like(label_logit), torch.zeros_like(labels)
    lowest = torch.full_like(label_logit, -torch.inf)
    return _OnlineSoftmax(lowest, zero, zero.clone(), zero_id, zero_id.clone(), label_logit, logp_only)


def multiply_into(states: Tensor, weight: Tensor, out: Tensor) -> None:
    """Write the product of states (rows, d) and weights (columns, d) into ``out`` (rows, columns), float32."""
    if weight.dtype == torch.float32:
        torch.mm(states, weight.t(), out=out)
    elif states.device.type == "cuda":
        # the sums of 16-bit products are float32 inside; out_dtype keeps them from being rounded
        out.copy_(torch.mm(states, weight.t(), out_dtype=torch.float32))
    else:
        out.copy_(torch.mm(states, weight.t()))


def _add_tile(running: _OnlineSoftmax, z: Tensor, scratch: Tensor, tile_labels: Tensor, first: int) -> None:
    """Add one tile to ``running``.

    Args:
        running: changed in place.
        z: (rows, columns), the tile's logits; overwritten.
        scratch: of the same shape; overwritten.
        tile_labels: (rows,), the labels counted from the tile's first column.
        first: vocabulary entry of that column.
    """
    inside = ((tile_labels >= 0) & (tile_labels < z.shape[1])).nonzero()[:, 0]
    if len(inside):
        # from here on the label's logit is the one of the matrix product, as all others are
        running.label_logit[inside] = z[inside, tile_labels[inside]]
    tile_max = z.amax(dim=1)
    if not running.logp_only:
        _rank_tile(running, z, scratch, tile_max, first)
    new_max = torch.maximum(running.max_logit, tile_max)
    # -inf - -inf would be NaN where all entries so far are forbidden
    shift = torch.where(running.max_logit == -torch.inf, 0.0, running.max_logit - new_max)
    scale = shift.exp()
    z -= torch.where(new_max == -torch.inf, 0.0, new_max)[:, None]
    z.clamp_(min=LOGIT_FLOOR)
    torch.exp(z, out=scratch)
    before, running.max_logit = running.total, new_max
    running.total = scale * before + scratch.sum(dim=1)
    if not running.logp_only:
        running.weighted = scale * (running.weighted + shift * before) + scratch.mul_(z).sum(dim=1)


def _rank_tile(running: _OnlineSoftmax, z: Tensor, scratch: Tensor, tile_max: Tensor, first: int) -> None:
    """Count the logits above the label's, and keep the greatest so far; ``tile_max`` (rows,) are the tile's own."""
    running.n_above += torch.gt(z, running.label_logit[:, None], out=scratch).sum(dim=1).long()
    risen = (tile_max > running.max_logit).nonzero()[:, 0]
    if len(risen):
        running.argmax_id[risen] = z[risen].argmax(dim=1) + first
