"""Whether the chosen responses of one series fell: against the reference, against their own peak, or not at all."""

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.diagnosis.findings import Fall
from dpo_analysis.diagnosis.series_log_ratios import SeriesLogRatios, finite_mean
from dpo_analysis.numerics.bootstrap import ratio_intervals

Array = NDArray[np.float64]
UNIT = "nats per pair"
UNDEFINED = float("nan")


def detect_fall(log_ratios: SeriesLogRatios) -> Fall:
    """Return which kind of fall the last checkpoint shows; the first of these that applies.

    offset: the first checkpoint is below the reference, and the last is not below the first. below_start: the mean is
    below the reference. below_peak: the mean is below the series' own highest checkpoint. below_start with ``hidden``:
    neither is so, but an established decline is lost in some pairs. noise: the mean is below 0, within the noise floor.
    none: else.

    "Below" means that the whole 95 % interval over groups is below 0, and the mean by more than the noise floor.
    """
    if not log_ratios.models or not np.isfinite(log_ratios.chosen[-1]).any():
        return _no_fall()
    first, last = log_ratios.chosen[0], log_ratios.chosen[-1]
    since_reference = _Change(last, log_ratios)
    if since_reference.below:
        # A fall that is complete at the first checkpoint may come from the setup: see causes.artefact.
        several = len(log_ratios.models) > 1
        already = several and _Change(first, log_ratios).below and not _Change(last - first, log_ratios).below
        kind = "offset" if already else "below_start"
        return _describe(kind, log_ratios, since_reference, (0, _onset(log_ratios)), hidden=False)
    peak = int(np.nanargmax(log_ratios.means))
    since_peak = _Change(last - log_ratios.chosen[peak], log_ratios)
    if peak < len(log_ratios.models) - 1 and since_peak.below:
        step = log_ratios.models[peak].step
        return _describe("below_peak", log_ratios, since_peak, (step, step), hidden=False)
    if log_ratios.established:
        # Pairs of a single prompt have no interval, and a mean that falls is not hidden by that.
        hidden = not (np.isnan(since_reference.low) and since_reference.mean < 0)
        return _describe("below_start", log_ratios, since_reference, (0, _onset(log_ratios)), hidden=hidden)
    kind = "noise" if -log_ratios.noise <= since_reference.mean < 0 else "none"
    return _describe(kind, log_ratios, since_reference, (0, None), hidden=False)


class _Change:
    """The change of every chosen response since some baseline, nats, with its mean and the interval over groups."""

    def __init__(self, change: Array, log_ratios: SeriesLogRatios) -> None:
        finite = np.isfinite(change)
        self.values = change[finite]
        self.noise = log_ratios.noise
        self.mean = finite_mean(change)
        groups = log_ratios.groups
        sums, counts = np.where(finite, change, 0.0)[:, None], finite.astype(float)[:, None]
        low, high = ratio_intervals(sums, counts, groups, int(groups.max(initial=-1)) + 1)
        self.low, self.high = float(low[0]), float(high[0])

    @property
    def below(self) -> bool:
        """Whether the whole interval is below 0 and the mean by more than the noise floor."""
        return self.high < 0 and self.mean < -self.noise


def _describe(
    kind: str, log_ratios: SeriesLogRatios, change: _Change, steps: tuple[int | None, int | None], *, hidden: bool
) -> Fall:
    """Return the fall of this kind; ``steps`` are its baseline and its first step."""
    lost = np.sort(np.maximum(-change.values, 0))[::-1]
    tenth = lost[: max(1, len(lost) // 10)]
    return Fall(
        kind=kind,
        baseline_step=steps[0],
        from_step=steps[1],
        last_step=log_ratios.models[-1].step,
        drop=change.mean,
        low=change.low,
        high=change.high,
        unit=UNIT,
        share_of_pairs=float((change.values < -change.noise).mean()) if len(change.values) else UNDEFINED,
        lost=float(lost.mean()) if len(lost) else UNDEFINED,
        worst_tenth=float(tenth.sum() / lost.sum()) if lost.sum() > 0 else UNDEFINED,
        hidden=hidden,
        n_pairs=len(change.values),
    )


def _no_fall() -> Fall:
    """Return the fall of a series of which nothing is scored."""
    nan = UNDEFINED
    return Fall("none", None, None, None, nan, nan, nan, UNIT, nan, nan, nan, hidden=False, n_pairs=0)


def _onset(log_ratios: SeriesLogRatios) -> int | None:
    """Return the step of the first checkpoint from which the mean stays below 0; the last one's where none does."""
    above = np.flatnonzero(log_ratios.means >= 0)
    first = int(above[-1]) + 1 if len(above) else 0
    return log_ratios.models[min(first, len(log_ratios.models) - 1)].step
