"""Two distributions over the vocabulary at the same positions: how far apart, and where the probability went.

Both heads give logits for a block of rows; batch x time x vocabulary is never in memory. Element by element in
float32, sums over the vocabulary in float64: the error is that of the logits.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpo_analysis.scoring.engine.lm_heads import Head

TOP = 8
"""Ids kept of each model at a position. Of the probability that moved on the sample's runs the policy's 8 likeliest
hold 86 to 99 percent of what rose, 0.3 to 0.7 points less than the 8 that rose most; the reference's 8 likeliest hold
98 to 99.6 percent of what fell. What they leave out is exact all the same: ``gained`` counts all of it."""
CPU_BLOCK, CUDA_BLOCK = 1 << 20, 1 << 25
"""Logits of one model held at once; about six times as many numbers live beside them."""
FEWEST_ROWS = 32
FLOOR = -1e4
"""Nats below which a log-prob counts as this: an entry that a model forbids then has a finite divergence."""


class Compared(NamedTuple):
    """What two models say at n positions; ``top_*`` hold n_top[i] values of position i, one position after the other.

    Attributes:
        kl_reference_policy: KL(pi_ref || pi), nats, float32, (n,).
        kl_policy_reference: KL(pi || pi_ref), nats, float32, (n,).
        null_variance: variance of log pi - log pi_ref under pi_ref, nats^2, float32, (n,).
        gained: sum of max(0, pi - pi_ref) over the vocabulary, float32, (n,).
        n_top: int32, (n,).
        top_id: the label and the likeliest ids of both, ascending, int32, (sum of n_top,).
        top_logp: their log-probs under the policy, nats, float32.
        top_reference_logp: their log-probs under the reference, nats, float32.
    """

    kl_reference_policy: np.ndarray
    kl_policy_reference: np.ndarray
    null_variance: np.ndarray
    gained: np.ndarray
    n_top: np.ndarray
    top_id: np.ndarray
    top_logp: np.ndarray
    top_reference_logp: np.ndarray


class OtherVocabulary(Exception):
    """The two heads have different numbers of entries: no distribution of one is one of the other."""


def compare(heads: tuple[Head, Head], states: tuple[Tensor, Tensor], labels: Tensor, *, top: int = TOP) -> Compared:
    """Compare policy and reference at rows of their final states.

    KL, mass and variance are over the whole vocabulary; with u = log pi - log pi_ref the variance under pi_ref is
    E[u^2] - E[u]^2 and E[u] is -KL(pi_ref || pi). Rafailov et al. 2024, arXiv:2404.12358, section 5.3 has the decline.

    Args:
        heads: of policy and reference.
        states: of policy (rows, width) and reference (rows, width), on any device.
        labels: (rows,) int64.
        top: ids to keep of each model.

    Raises:
        OtherVocabulary: the heads' sizes differ.
        MemoryError, torch.OutOfMemoryError: a block does not fit.
    """
    blocks = list(_blocks(heads, states, labels, top))
    return Compared(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _blocks(heads: tuple[Head, Head], states: tuple[Tensor, Tensor], labels: Tensor, top: int) -> Iterator[Compared]:
    if heads[0].size != heads[1].size:
        raise OtherVocabulary(f"its vocabulary has {heads[0].size} entries, the reference's {heads[1].size}")
    for first in range(0, len(labels), size := _block_rows(states[0].device, heads[0].size)):
        rows = slice(first, first + size)
        policy = heads[0].logits(states[0][rows])
        reference = heads[1].logits(states[1][rows]).to(policy.device)
        yield _compare_block(policy, reference, labels[rows].to(policy.device), top)


def _block_rows(device: torch.device, vocabulary: int) -> int:
    return max(FEWEST_ROWS, (CPU_BLOCK if device.type == "cpu" else CUDA_BLOCK) // vocabulary)


def _compare_block(policy: Tensor, reference: Tensor, labels: Tensor, top: int) -> Compared:
    """One block of logits (rows, vocabulary); both are used up."""
    (log_p, over_p), (log_q, over_q) = _log_softmax(policy), _log_softmax(reference)
    count = min(top, log_p.shape[1])
    ids = torch.cat([log_p.topk(count).indices, log_q.topk(count).indices, labels[:, None]], dim=1).sort(dim=1).values
    new = torch.ones_like(ids, dtype=torch.bool)
    new[:, 1:] = ids[:, 1:] != ids[:, :-1]
    tops = [ids[new].int(), log_p.gather(1, ids)[new], log_q.gather(1, ids)[new]]
    p, q = log_p.exp(), log_q.exp()
    gained = _sums((p - q).clamp_min_(0.0))
    apart = log_p.sub_(log_q)
    forward = -_sums(torch.mul(q, apart, out=log_q)) + over_p - over_q
    backward = _sums(p.mul_(apart)) - over_p + over_q
    apart += forward[:, None].float()
    variance = _sums(apart.square_().mul_(q))
    nats = torch.stack([forward, backward]).clamp_min_(0.0).float()
    numbers = torch.stack([*nats, variance.float(), gained.float()]).cpu().numpy()
    return Compared(*numbers, new.sum(dim=1).int().cpu().numpy(), *(one.cpu().numpy() for one in tops))


def _log_softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probs in place of float32 logits (rows, vocabulary), and by how much they are too large, float64 (rows,)."""
    logits -= logits.amax(dim=1, keepdim=True)
    log_total = _sums(logits.exp()).log()
    rounded = log_total.float()
    return logits.sub_(rounded[:, None]).clamp_min_(FLOOR), log_total - rounded


def _sums(values: Tensor) -> Tensor:
    """(rows,) float64; accelerators without float64 sum in float32."""
    return values.sum(dim=1, dtype=torch.float32 if values.device.type == "mps" else torch.float64)
