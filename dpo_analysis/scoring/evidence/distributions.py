"""Two distributions over the vocabulary at the same positions: their divergence, and where the probability went.

Both heads give logits for a block of rows; batch x time x vocabulary is never in memory. Element by element in
float32, sums over the vocabulary in float64: the error is that of the logits.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpo_analysis.scoring.engine.lm_heads import Head

TOP_K = 8
"""Likeliest ids of each model that are stored at a position. Of the probability that moved on the sample's runs the
policy's 8 likeliest hold 86 to 99 percent of what rose, 0.3 to 0.7 points less than the 8 that rose most; the
reference's 8 likeliest hold 98 to 99.6 percent of what fell. What they leave out is exact all the same: ``gained``
counts all of it."""
CPU_BLOCK_LOGITS, CUDA_BLOCK_LOGITS = 1 << 20, 1 << 25
"""Logits of one model held at once; about six times as many numbers live beside them."""
MIN_BLOCK_ROWS = 32
LOGP_FLOOR = -1e4
"""Nats below which a log-prob counts as this: an entry that a model forbids then has a finite divergence."""


class Comparison(NamedTuple):
    """What two models say at n positions; ``top_*`` hold the n_top[i] values of each position i, concatenated.

    Attributes:
        kl_reference_policy: KL(pi_ref || pi), nats, float32, (n,).
        kl_policy_reference: KL(pi || pi_ref), nats, float32, (n,).
        null_variance: variance of log pi - log pi_ref under pi_ref, nats^2, float32, (n,).
        gained: sum of max(0, pi - pi_ref) over the vocabulary, a probability, float32, (n,).
        n_top: int32, (n,).
        top_id: the label and the likeliest ids of both, ascending, int32, (sum of n_top,).
        top_logp: their log-probs under the policy, nats, float32, (sum of n_top,).
        top_reference_logp: their log-probs under the reference, nats, float32, (sum of n_top,).
    """

    kl_reference_policy: np.ndarray
    kl_policy_reference: np.ndarray
    null_variance: np.ndarray
    gained: np.ndarray
    n_top: np.ndarray
    top_id: np.ndarray
    top_logp: np.ndarray
    top_reference_logp: np.ndarray


class VocabularyMismatch(Exception):
    """The two heads have different numbers of entries: a distribution of one is no distribution of the other."""


def compare_distributions(
    heads: tuple[Head, Head], states: tuple[Tensor, Tensor], labels: Tensor, *, top_k: int = TOP_K
) -> Comparison:
    """Compare policy and reference at rows of their final hidden states.

    KL, gained mass and variance are over the whole vocabulary; with u = log pi - log pi_ref the variance under pi_ref
    is E[u^2] - E[u]^2 and E[u] is -KL(pi_ref || pi). Rafailov et al. 2024, arXiv:2404.12358, section 5.3 has the
    decline.

    Args:
        heads: of policy and reference.
        states: of policy (rows, width) and reference (rows, width), on any device.
        labels: (rows,) int64, the tokens that follow.
        top_k: likeliest ids to store of each model.

    Raises:
        VocabularyMismatch: the heads' sizes differ.
        MemoryError, torch.OutOfMemoryError: a block does not fit.
    """
    blocks = list(_compare_blocks(heads, states, labels, top_k))
    return Comparison(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _compare_blocks(
    heads: tuple[Head, Head], states: tuple[Tensor, Tensor], labels: Tensor, top_k: int
) -> Iterator[Comparison]:
    """Yield the comparison of one block of rows after the other; arguments as of ``compare_distributions``."""
    vocab_size = heads[0].vocab_size
    if vocab_size != heads[1].vocab_size:
        raise VocabularyMismatch(f"its vocabulary has {vocab_size} entries, the reference's {heads[1].vocab_size}")
    for first in range(0, len(labels), size := _block_rows(states[0].device, vocab_size)):
        rows = slice(first, first + size)
        policy = heads[0].logits(states[0][rows])
        reference = heads[1].logits(states[1][rows]).to(policy.device)
        yield _compare_block(policy, reference, labels[rows].to(policy.device), top_k)


def _block_rows(device: torch.device, vocab_size: int) -> int:
    return max(MIN_BLOCK_ROWS, (CPU_BLOCK_LOGITS if device.type == "cpu" else CUDA_BLOCK_LOGITS) // vocab_size)


def _compare_block(policy: Tensor, reference: Tensor, labels: Tensor, top_k: int) -> Comparison:
    """Compare one block of logits, each (rows, vocabulary) float32; both are overwritten.

    ``log_p`` and ``log_q`` exceed the log-probs by ``excess_p`` and ``excess_q`` (rows,), the float32 rounding of their
    normalisers. All of it would go into the divergences, which may be close to 0, so it is subtracted in float64.
    """
    (log_p, excess_p), (log_q, excess_q) = _log_softmax(policy), _log_softmax(reference)
    count = min(top_k, log_p.shape[1])
    ids = torch.cat([log_p.topk(count).indices, log_q.topk(count).indices, labels[:, None]], dim=1).sort(dim=1).values
    is_first = torch.ones_like(ids, dtype=torch.bool)  # of each id in its row, which are sorted
    is_first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    tops = [ids[is_first].int(), log_p.gather(1, ids)[is_first], log_q.gather(1, ids)[is_first]]
    p, q = log_p.exp(), log_q.exp()
    gained = _row_sums((p - q).clamp_min_(0.0))
    difference = log_p.sub_(log_q)
    kl_q_p = -_row_sums(torch.mul(q, difference, out=log_q)) + excess_p - excess_q
    kl_p_q = _row_sums(p.mul_(difference)) - excess_p + excess_q
    # the variance as a sum of squares around the mean: E[u^2] - E[u]^2 would lose its digits
    difference += kl_q_p[:, None].float()
    variance = _row_sums(difference.square_().mul_(q))
    nats = torch.stack([kl_q_p, kl_p_q]).clamp_min_(0.0).float()
    kl_reference_policy, kl_policy_reference, null_variance, gains = (
        torch.stack([*nats, variance.float(), gained.float()]).cpu().numpy()
    )
    top_id, top_logp, top_reference_logp = (column.cpu().numpy() for column in tops)
    return Comparison(
        kl_reference_policy=kl_reference_policy,
        kl_policy_reference=kl_policy_reference,
        null_variance=null_variance,
        gained=gains,
        n_top=is_first.sum(dim=1).int().cpu().numpy(),
        top_id=top_id,
        top_logp=top_logp,
        top_reference_logp=top_reference_logp,
    )


def _log_softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Turn float32 logits (rows, vocabulary) into log-probs in place.

    Returns:
        The log-probs, and by how much they are too large, float64, (rows,).
    """
    logits -= logits.amax(dim=1, keepdim=True)
    log_total = _row_sums(logits.exp()).log()
    rounded = log_total.float()
    return logits.sub_(rounded[:, None]).clamp_min_(LOGP_FLOOR), log_total - rounded


def _row_sums(values: Tensor) -> Tensor:
    """Return the sum of each row, (rows,) float64; accelerators without float64 sum in float32."""
    return values.sum(dim=1, dtype=torch.float32 if values.device.type == "mps" else torch.float64)
