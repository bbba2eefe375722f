"""The loss of each pair as TRL 1.16's DPOTrainer computes it, for every loss that is a function of a single pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dpo_analysis.errors import InputError
from dpo_analysis.numerics.losses import (
    BATCH_LOSSES,
    DIVIDES_BY_BETA,
    F_DIVERGENCES,
    LOSSES,
    REFERENCE_FREE,
    WITH_DIVERGENCE,
    Array,
    LossTerms,
    divergence_score,
)
from dpo_analysis.numerics.rewards import log_ratio

NUMBERS = ("label_smoothing", "discopop_tau", "f_alpha_divergence_coef", "ld_alpha")
"""Parameters of a loss that are numbers."""
LARGEST = 1e300
"""Numbers of a parameter are smaller, which excludes NaN and infinity."""


@dataclass(frozen=True, slots=True, eq=False)
class PairLogps:
    """Summed log-probs of pairs under policy and reference, and token counts; every array float64, shape (pairs,).

    Attributes:
        chosen, rejected: log-probs under the policy, nats.
        reference_chosen, reference_rejected: log-probs under the reference, nats.
        chosen_n_tokens, rejected_n_tokens: scored tokens of each response.
        shared: chosen, rejected, reference_chosen and reference_rejected over the first min(n_chosen, n_rejected)
            tokens of each response, nats; only ``ld_alpha`` needs them. None where no token's log-prob is stored.
    """

    chosen: Array
    rejected: Array
    reference_chosen: Array
    reference_rejected: Array
    chosen_n_tokens: Array
    rejected_n_tokens: Array
    shared: tuple[Array, Array, Array, Array] | None = None


def loss(
    pairs: PairLogps,
    *,
    beta: float,
    loss_type: str | Sequence[str] = "sigmoid",
    parameters: Mapping[str, Any] | None = None,
) -> Array:
    """Return the loss of every pair, shape (pairs,), in the unit of its formula; the trainer logs its mean.

    Args:
        pairs: log-probs and lengths.
        beta: the trainer's beta; at 0 a loss that needs 1 / beta is refused.
        loss_type: a name of ``losses.LOSSES``, or several names, whose losses are added with the weights of
            ``parameters["loss_weights"]`` (1 if absent).
        parameters: label_smoothing, discopop_tau, loss_weights, f_divergence_type, f_alpha_divergence_coef, ld_alpha
            as in TRL's DPOConfig; None and absent mean TRL's defaults, other keys are ignored.

    Raises:
        InputError: a loss is no function of a single pair, is unknown, or its parameters are out of range.
    """
    settings = _without_nones(parameters)
    weights = check_loss(loss_type, beta, settings)
    terms = _terms(pairs, beta, settings)
    parts = [weight * LOSSES[name](terms) for name, weight in weights]
    return np.sum(parts, axis=0)


def check_loss(
    loss_type: str | Sequence[str], beta: float, parameters: Mapping[str, Any] | None = None
) -> list[tuple[str, float]]:
    """Return the names of the losses that ``loss_type`` adds up, each with its weight.

    Args:
        loss_type: as in ``loss``.
        beta: as in ``loss``.
        parameters: as in ``loss``.

    Raises:
        InputError: as ``loss``.
    """
    settings = _without_nones(parameters)
    _check_kinds(settings)
    names = [loss_type] if isinstance(loss_type, str) else list(loss_type)
    weights = settings.get("loss_weights", [1.0] * len(names))
    if not names or len(weights) != len(names):
        raise InputError(
            f"{len(weights)} loss_weights for {len(names)} losses: each loss needs one weight; give {len(names)}"
        )
    if not (np.isfinite(beta) and beta >= 0):
        raise InputError(f"bad beta {beta}: it must be a number above 0; give the trainer's")
    for name in names:
        _check_name(name)
        if beta == 0 and name in DIVIDES_BY_BETA:
            raise InputError(f"no loss {name!r} with beta 0: its target is 1 / (2 beta); give the trainer's beta")
    _check_parameters(names, settings)
    return [(name, float(weight)) for name, weight in zip(names, weights, strict=True)]


def _without_nones(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters that are set: None means TRL's default, as an absent key does."""
    return {key: value for key, value in (parameters or {}).items() if value is not None}


def _check_kinds(settings: Mapping[str, Any]) -> None:
    """Refuse parameters that are no numbers; they may come from the file of a trainer."""
    weights = settings.get("loss_weights", [])
    if not isinstance(weights, list | tuple) or not all(map(_is_number, weights)):
        raise InputError(f"bad loss_weights {str(weights)[:80]}: a list of numbers is needed; give the trainer's")
    for name in NUMBERS:
        if not _is_number(settings.get(name, 0.0)):
            raise InputError(f"bad {name} {str(settings[name])[:80]}: a number is needed; give the trainer's")
    divergence = settings.get("f_divergence_type", "")
    if not isinstance(divergence, str):
        raise InputError(f"bad f_divergence_type {str(divergence)[:80]}: a name is needed; give the trainer's")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(abs(value) < LARGEST)


def _check_name(name: str) -> None:
    if name in BATCH_LOSSES:
        why = "it sorts a whole batch, so no pair has a loss of its own"
    elif name in REFERENCE_FREE:
        why = "it is trained without a reference, so there is no implicit reward to show"
    elif name not in LOSSES:
        why = "TRL 1.16's DPOTrainer has no such loss"
    else:
        return
    raise InputError(f"no loss per pair for loss_type {name!r}: {why}; choose one of {', '.join(LOSSES)}")


def _check_parameters(names: Sequence[str], settings: Mapping[str, Any]) -> None:
    smoothing = settings.get("label_smoothing", 0.0)
    divergence = settings.get("f_divergence_type", "reverse_kl")
    if "exo_pair" in names and not 0 < smoothing < 1:
        raise InputError(f"bad label_smoothing {smoothing} for exo_pair: it must lie between 0 and 1; TRL advises 1e-3")
    if "robust" in names and not 0 <= smoothing < 0.5:
        raise InputError(f"bad label_smoothing {smoothing} for robust: it must lie in [0, 0.5); give the trainer's")
    if divergence not in F_DIVERGENCES:
        raise InputError(f"unknown f_divergence_type {divergence!r}: there is {', '.join(F_DIVERGENCES)}; choose one")
    without = [name for name in names if name not in WITH_DIVERGENCE]
    if divergence != "reverse_kl" and without:
        raise InputError(
            f"loss_type {without[0]!r} with f_divergence_type {divergence!r}: TRL does not define it; use reverse_kl"
        )
    if settings.get("use_weighting"):
        raise InputError(
            "no loss per pair with use_weighting: its weights need the whole distribution at every token, which is "
            "not stored; set use_weighting to false to see the loss without them"
        )
    if settings.get("reference_free"):
        raise InputError("reference_free training: there is no implicit reward to show; only logps can be compared")


def _terms(pairs: PairLogps, beta: float, settings: Mapping[str, Any]) -> LossTerms:
    chosen, rejected, reference_chosen, reference_rejected = _length_weighted(pairs, settings.get("ld_alpha"))
    chosen_ratio, rejected_ratio = log_ratio(chosen, reference_chosen), log_ratio(rejected, reference_rejected)
    n_chosen, n_rejected = np.maximum(pairs.chosen_n_tokens, 1.0), np.maximum(pairs.rejected_n_tokens, 1.0)
    return LossTerms(
        beta=beta,
        chosen=chosen_ratio,
        rejected=rejected_ratio,
        chosen_score=divergence_score(chosen_ratio, settings),
        rejected_score=divergence_score(rejected_ratio, settings),
        chosen_n_tokens=n_chosen,
        rejected_n_tokens=n_rejected,
        chosen_logp_per_token=pairs.chosen / n_chosen,
        label_smoothing=float(settings.get("label_smoothing", 0.0)),
        discopop_tau=float(settings.get("discopop_tau", 0.05)),
    )


def _length_weighted(pairs: PairLogps, ld_alpha: float | None) -> tuple[Array, Array, Array, Array]:
    """Return the four sums of log-probs, nats, with tokens beyond the shorter response's length weighted by ld_alpha.

    TRL 1.16 weights policy and reference alike. LD-DPO, arXiv:2409.06411.
    """
    whole = pairs.chosen, pairs.rejected, pairs.reference_chosen, pairs.reference_rejected
    if ld_alpha is None:
        return whole
    if pairs.shared is None:
        raise InputError("no loss with ld_alpha: it weights tokens, and this run stores sums only; score it again")
    first, second, third, fourth = (
        shared + ld_alpha * (total - shared) for shared, total in zip(pairs.shared, whole, strict=True)
    )
    return first, second, third, fourth
