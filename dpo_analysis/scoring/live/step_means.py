"""Means over the fixed pairs at one step of a training, and how exactly they can be known."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.runs import NoiseFloor
from dpo_analysis.scoring.live.trainer_forward import PairScores

Array = NDArray[np.float64]


def step_means(chosen: Array, rejected: Array, kept_mass: float | None) -> dict[str, float]:
    """Return the values to log, by TRL's names, and ``kept_mass``.

    Args:
        chosen: rewards of the chosen responses, beta x nats, (pairs,); NaN where not scored.
        rejected: rewards of the rejected responses.
        kept_mass: share of the reference's samples that the policy keeps; None where it is not measured.
    """
    margins = chosen - rejected
    values = {
        "rewards/chosen": float(np.nanmean(chosen)),
        "rewards/rejected": float(np.nanmean(rejected)),
        "rewards/margins": float(np.nanmean(margins)),
        "rewards/accuracies": float(np.mean(margins[np.isfinite(margins)] > 0)),
        "chosen_fell": float(np.mean(chosen[np.isfinite(chosen)] < 0)),
    }
    return values if kept_mass is None else values | {"kept_mass": kept_mass}


def kept_mass(policy: Sequence[PairScores], reference: Sequence[PairScores]) -> float:
    """Return the mean over samples of the reference of min(1, pi / pi_ref), a share; see ``tables.probes``."""
    changes = [
        after["logp"].sum(dtype=np.float64) - before["logp"].sum(dtype=np.float64)
        for pair, base in zip(policy, reference, strict=True)
        for after, before in zip(pair, base, strict=True)
    ]
    return float(np.mean(np.exp(np.minimum(changes, 0.0))))


def largest_difference(first: Sequence[PairScores], second: Sequence[PairScores]) -> float:
    """Return the largest absolute difference of a token's log-prob between two scorings, nats."""
    return _differences(first, second)[0]


def noise_floor(together: Sequence[PairScores], alone: Sequence[PairScores]) -> NoiseFloor:
    """Return the noise floor from scorings of the same pairs by the reference, in batches and each by itself."""
    token, response = _differences(together, alone)
    return NoiseFloor(token, response, len(together))


def _differences(first: Sequence[PairScores], second: Sequence[PairScores]) -> tuple[float, float]:
    """Return the largest absolute difference of a token and of a response, nats; 0 where nothing is finite."""
    changes = [
        one["logp"].astype(np.float64) - other["logp"]
        for pair, again in zip(first, second, strict=True)
        for one, other in zip(pair, again, strict=True)
    ]
    tokens = np.abs(np.concatenate(changes))
    responses = np.abs([change.sum() for change in changes])
    finite = [values[np.isfinite(values)] for values in (tokens, responses)]
    return float(finite[0].max(initial=0.0)), float(finite[1].max(initial=0.0))
