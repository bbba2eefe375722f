"""Signs during a training that its user should look: the chosen reward is past its peak, or half the mass is gone."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.numerics.bootstrap import ratio_intervals

HALF = 0.5
"""Kept mass of the reference's samples, a share, at or below which a warning is given."""
Array = NDArray[np.float64]


class Alarm(NamedTuple):
    """A warning: a title of under 64 characters, as trackers take it, and a sentence."""

    title: str
    text: str


class Alarms:
    """The warnings of one training, each given once."""

    def __init__(self, groups: NDArray[np.int64]) -> None:
        """Watch pairs whose prompts are ``groups``, shape (pairs,): intervals resample prompts."""
        self._groups = groups
        self._warned_peaks: set[int] = set()
        self._warned_mass = False

    def at_start(self, advantages: float) -> list[Alarm]:
        """Return a warning where policy and reference differ before the first step.

        Args:
            advantages: the largest absolute advantage of a token, beta x nats.
        """
        if not advantages:
            return []
        text = (
            f"Before the first step a token's implicit reward is {advantages:.3g} and not 0: the policy is not the "
            "reference. The reference must be the model that training starts from, in the same dtype; prompt tuning "
            "starts from another."
        )
        return [Alarm("rewards are not 0 before the first step", text)]

    def at_step(self, step: int, chosen_rewards: Mapping[int, Array], kept_mass: float | None) -> list[Alarm]:
        """Return the warnings that a step gives rise to.

        The chosen reward is past its peak when its mean over the pairs is below the highest earlier mean, and the 95 %
        interval of the difference over prompts does not reach 0. A new peak can be passed again.

        Args:
            step: the step just scored.
            chosen_rewards: rewards of the chosen responses, beta x nats, (pairs,), by step; NaN where not scored.
            kept_mass: share of the reference's samples that the policy keeps; None where it is not measured.
        """
        return [*self._past_peak(step, chosen_rewards), *self._lost_mass(step, kept_mass)]

    def _past_peak(self, step: int, chosen_rewards: Mapping[int, Array]) -> list[Alarm]:
        means = {at: float(np.nanmean(values)) for at, values in chosen_rewards.items() if at <= step}
        peak = max(means, key=lambda at: (means[at], at))
        if peak == step or peak in self._warned_peaks:
            return []
        change = chosen_rewards[step] - chosen_rewards[peak]
        counts = np.isfinite(change)
        values = np.where(counts, change, 0.0)[:, None]
        low, high = ratio_intervals(
            values, counts.astype(float)[:, None], self._groups, int(self._groups.max(initial=0)) + 1
        )
        if not high[0] < 0:
            return []
        self._warned_peaks.add(peak)
        mean = float(change[counts].mean())
        text = (
            f"The chosen reward of {int(counts.sum())} fixed pairs was highest at step {peak} ({means[peak]:+.3f}); at "
            f"step {step} it is {means[step]:+.3f}, lower by {-mean:.3f} (95 % interval over prompts: "
            f"{-high[0]:.3f} to {-low[0]:.3f})."
        )
        return [Alarm("the chosen reward is past its peak", text)]

    def _lost_mass(self, step: int, kept_mass: float | None) -> list[Alarm]:
        if kept_mass is None or kept_mass > HALF or self._warned_mass:
            return []
        self._warned_mass = True
        text = (
            f"At step {step} the policy keeps {kept_mass:.0%} of the probability that the reference gives to its "
            "replies to these prompts. Let the model answer some of them."
        )
        return [Alarm("half of the reference's probability mass is gone", text)]
