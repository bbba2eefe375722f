"""The formulas of TRL 1.16's pairwise DPO losses, on arrays of pairs; call them through ``pair_loss.loss``.

Where trainer and paper differ, the formula is the trainer's. Every loss is an array of shape (pairs,), without a unit
but for ``ipo_loss`` (squared nats per token), ``sppo_hard_loss`` (squared nats) and ``sft_loss`` (nats per token).

In the formulas, _c is chosen and _r is rejected; s is the log-ratio of a response (with an f-divergence, its
``divergence_score``), D = s_c - s_r, r_c and r_r are beta x log-ratio, n is the number of scored tokens, and sig is the
logistic function.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.numerics.rewards import log_sigmoid, sigmoid

Array = NDArray[np.float64]
F_DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")
LARGEST_EXPONENT = 80.0
"""TRL clamps the exponent of the alpha-divergence to this in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class LossTerms:
    """The quantities in the loss formulas; every array of shape (pairs,).

    Attributes:
        beta: the trainer's beta.
        chosen, rejected: log-ratios, nats.
        chosen_score, rejected_score: s, the log-ratios after ``divergence_score``; nats for reverse_kl.
        chosen_n_tokens, rejected_n_tokens: n, at least 1.
        chosen_logp_per_token: mean log-prob of a chosen token under the policy, nats per token.
        label_smoothing, discopop_tau: the trainer's settings.
    """

    beta: float
    chosen: Array
    rejected: Array
    chosen_score: Array
    rejected_score: Array
    chosen_n_tokens: Array
    rejected_n_tokens: Array
    chosen_logp_per_token: Array
    label_smoothing: float = 0.0
    discopop_tau: float = 0.05

    @property
    def logits(self) -> Array:
        """The logits beta x D of a pair, shape (pairs,)."""
        return self.beta * (self.chosen_score - self.rejected_score)

    @property
    def difference_per_token(self) -> Array:
        """The length-normalised difference s_c / n_c - s_r / n_r, shape (pairs,), nats per token for reverse_kl."""
        return self.chosen_score / self.chosen_n_tokens - self.rejected_score / self.rejected_n_tokens


def divergence_score(log_ratios: Array, parameters: Mapping[str, Any]) -> Array:
    """Return s, the derivative of the f-divergence at pi / pi_ref, in the shape of ``log_ratios``.

    With l the log-ratio (nats) reverse_kl: l; forward_kl: 1 - exp(-l); js_divergence: log 2 + log sig(l);
    alpha_divergence: (exp((a - 1) l) - 1) / (a - 1) with a = f_alpha_divergence_coef. 0 where the policy equals the
    reference. Wang et al. 2023, "Beyond Reverse KL", arXiv:2309.16240.
    """
    kind = parameters.get("f_divergence_type", "reverse_kl")
    alpha = float(parameters.get("f_alpha_divergence_coef", 0.5))
    if kind == "forward_kl":
        with np.errstate(over="ignore"):
            return -np.expm1(-log_ratios)
    if kind == "js_divergence":
        return np.log(2.0) + log_sigmoid(log_ratios)
    if kind == "alpha_divergence" and abs(alpha - 1.0) >= 1e-6:
        return np.expm1(np.minimum((alpha - 1.0) * log_ratios, LARGEST_EXPONENT)) / (alpha - 1.0)
    return log_ratios


def sigmoid_loss(terms: LossTerms) -> Array:
    """Sigmoid loss of DPO: -log sig(beta D); log 2 where the policy equals the reference.

    Rafailov et al. 2023, arXiv:2305.18290.
    """
    return -log_sigmoid(terms.logits)


def sigmoid_norm_loss(terms: LossTerms) -> Array:
    """Length-normalised DPO: -log sig(beta (s_c / n_c - s_r / n_r)). Lambert et al. 2024, arXiv:2411.15124."""
    return -log_sigmoid(terms.beta * terms.difference_per_token)


def hinge_loss(terms: LossTerms) -> Array:
    """Hinge loss: max(0, 1 - beta D). SLiC, Zhao et al. 2023, arXiv:2305.10425; RSO, arXiv:2309.06657."""
    return np.maximum(0.0, 1.0 - terms.logits)


def ipo_loss(terms: LossTerms) -> Array:
    """IPO: (s_c / n_c - s_r / n_r - 1 / (2 beta))^2; TRL divides by lengths. Azar et al. 2023, arXiv:2310.12036."""
    return (terms.difference_per_token - 1.0 / (2.0 * terms.beta)) ** 2


def exo_pair_loss(terms: LossTerms) -> Array:
    """EXO: KL of (sig(beta D), sig(-beta D)) from (1 - eps, eps), eps = label_smoothing. arXiv:2402.00856."""
    logits, eps = terms.logits, terms.label_smoothing
    won = sigmoid(logits) * (log_sigmoid(logits) - np.log1p(-eps))
    return won + sigmoid(-logits) * (log_sigmoid(-logits) - np.log(eps))


def nca_pair_loss(terms: LossTerms) -> Array:
    """NCA: -log sig(r_c) - log sig(-r_c) / 2 - log sig(-r_r) / 2. Chen et al. 2024, arXiv:2402.05369."""
    chosen, rejected = terms.beta * terms.chosen, terms.beta * terms.rejected
    return -log_sigmoid(chosen) - 0.5 * log_sigmoid(-chosen) - 0.5 * log_sigmoid(-rejected)


def robust_loss(terms: LossTerms) -> Array:
    """Robust DPO: (-(1 - e) log sig(beta D) + e log sig(-beta D)) / (1 - 2 e), e = label_smoothing.

    arXiv:2403.00409.
    """
    logits, e = terms.logits, terms.label_smoothing
    return (-(1.0 - e) * log_sigmoid(logits) + e * log_sigmoid(-logits)) / (1.0 - 2.0 * e)


def bco_pair_loss(terms: LossTerms) -> Array:
    """BCO: -log sig(r_c) - log sig(-r_r), without a running shift. Jung et al. 2024, arXiv:2404.04656."""
    return -log_sigmoid(terms.beta * terms.chosen) - log_sigmoid(-terms.beta * terms.rejected)


def sppo_hard_loss(terms: LossTerms) -> Array:
    """SPPO: (log-ratio_c - 1 / (2 beta))^2 + (log-ratio_r + 1 / (2 beta))^2. Wu et al. 2024, arXiv:2405.00675."""
    target = 0.5 / terms.beta
    return (terms.chosen - target) ** 2 + (terms.rejected + target) ** 2


def apo_zero_loss(terms: LossTerms) -> Array:
    """APO-zero: 1 - sig(r_c) + sig(r_r): chosen up, rejected down. D'Oosterlinck et al. 2024, arXiv:2408.06266."""
    return sigmoid(-terms.beta * terms.chosen) + sigmoid(terms.beta * terms.rejected)


def apo_down_loss(terms: LossTerms) -> Array:
    """APO-down: sig(r_c) + 1 - sig(r_c - r_r): both down, rejected more. arXiv:2408.06266."""
    return sigmoid(terms.beta * terms.chosen) + sigmoid(-terms.beta * (terms.chosen - terms.rejected))


def discopop_loss(terms: LossTerms) -> Array:
    """DiscoPOP: -log sig(l) (1 - m) + exp(-l) m, l = beta D, m = sig(l / discopop_tau).

    Lu et al. 2024, arXiv:2406.08414.
    """
    logits, scaled = terms.logits, terms.logits / terms.discopop_tau
    return -log_sigmoid(logits) * sigmoid(-scaled) + np.exp(log_sigmoid(scaled) - logits)


def sft_loss(terms: LossTerms) -> Array:
    """SFT: -(1 / n_c) sum of the chosen tokens' log-probs; TRL's mean is over all tokens of a batch."""
    return -terms.chosen_logp_per_token


WITH_DIVERGENCE = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft")
"""Losses that TRL computes with every f-divergence; the others know reverse_kl only."""
BATCH_LOSSES = ("aot", "aot_unpaired")
"""Losses that sort a whole batch, so that no pair has a loss of its own."""
DIVIDES_BY_BETA = ("ipo", "sppo_hard")
"""Losses with a target of 1 / (2 beta), which a beta of 0 does not have."""
REFERENCE_FREE = ("simpo", "orpo", "cpo")
"""Losses that are trained without a reference, so that no implicit reward exists."""
LOSSES: dict[str, Callable[[LossTerms], Array]] = {
    "sigmoid": sigmoid_loss,
    "sigmoid_norm": sigmoid_norm_loss,
    "hinge": hinge_loss,
    "ipo": ipo_loss,
    "exo_pair": exo_pair_loss,
    "nca_pair": nca_pair_loss,
    "robust": robust_loss,
    "bco_pair": bco_pair_loss,
    "sppo_hard": sppo_hard_loss,
    "apo_zero": apo_zero_loss,
    "apo_down": apo_down_loss,
    "discopop": discopop_loss,
    "sft": sft_loss,
}
