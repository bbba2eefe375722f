"""Beta from the trainer's log and the scores of a run, from rewards where the log has them, else from the loss."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpo_analysis.numerics.rewards import log_sigmoid
from dpo_analysis.runs.summaries.evaluated_sums import EvaluatedSums
from dpo_analysis.scoring.log_fit.logged_means import REWARDS, LoggedPoint, means
from dpo_analysis.trainer.beta import shortest_within
from dpo_analysis.trainer.evaluations import mean_of_batches, rounding_of

BETAS = np.geomspace(1e-3, 20, 2000)
"""The betas that are tried against a logged loss."""
LOSS_ROUNDING = 1.5e-3
"""By how much a loss that was logged under bfloat16 may differ from that of float32 sums."""


class FittingBeta(NamedTuple):
    """A beta by which a log fits: the number of fewest digits in the range of all betas that fit, and the range."""

    value: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """The value, with the range where that is wider than a thousandth of it."""
        if self.high - self.low <= 2e-3 * self.value:
            return f"{self.value:g}"
        return f"{self.value:g} (anything from {self.low:.3g} to {self.high:.3g} fits)"


def beta_of_rewards(points: Sequence[LoggedPoint], sums: Sequence[EvaluatedSums]) -> FittingBeta | None:
    """Return the beta by which logged rewards are the recomputed changes of log-probs; None where no beta fits.

    Args:
        points: evaluations.
        sums: the sums of each.
    """
    changes, rewards, exact, per_token = [], [], all(point.exact for point in points), 1.0
    for point, one in zip(points, sums, strict=True):
        if all(name in point.logged for name in REWARDS):
            ratios = one.log_ratios / one.n_tokens if point.averaged else one.log_ratios
            changes.append(means(ratios, point))
            rewards.append([point.logged[name] for name in REWARDS])
            per_token = float(one.n_tokens.mean()) if point.averaged else 1.0
    if not changes:
        return None
    change, reward = np.concatenate(changes), np.concatenate(rewards)
    size = float(change @ change)
    if not size:
        return None
    beta = float(reward @ change) / size
    allowed = np.array([rounding_of(value, exact=exact, scale=max(beta, 0.0), per_token=per_token) for value in reward])
    if beta <= 0 or (np.abs(reward - beta * change) > allowed).any():
        return None
    # A beta is known as sharply as the largest change fixes it.
    largest = int(np.abs(change).argmax())
    error = float(allowed[largest] / abs(change[largest]))
    return FittingBeta(shortest_within(beta, error), beta - error, beta + error) if error < beta / 10 else None


def beta_of_loss(points: Sequence[LoggedPoint], sums: Sequence[EvaluatedSums]) -> FittingBeta | None:
    """Return the one beta at which the sigmoid loss of every evaluation is the logged loss; None where none is.

    Args:
        points: evaluations; those that log no loss are passed over.
        sums: the sums of each.
    """
    margins, losses = [], []
    for point, one in zip(points, sums, strict=True):
        if "loss" in point.logged:
            margins.append((one.log_ratios[:, 0] - one.log_ratios[:, 1], point.batch))
            losses.append(point.logged["loss"])
    if not losses:
        return None
    off = np.max(
        [
            np.abs([mean_of_batches(-log_sigmoid(beta * values), batch) - loss for beta in BETAS])
            for (values, batch), loss in zip(margins, losses, strict=True)
        ],
        axis=0,
    )
    fits = np.flatnonzero(off <= LOSS_ROUNDING)
    # Two separate ranges of betas fit where the loss falls and rises again: then the log does not tell.
    if not len(fits) or fits[-1] - fits[0] != len(fits) - 1:
        return None
    low, high = float(BETAS[fits[0]]), float(BETAS[fits[-1]])
    return FittingBeta(shortest_within((low + high) / 2, (high - low) / 2), low, high)
