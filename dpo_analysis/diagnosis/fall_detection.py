"""Is there a fall? Of one series on one split: against the reference, against its own peak, or neither."""

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import Setting, quantities
from dpo_analysis.arrays.response_sums import inputs
from dpo_analysis.arrays.selection import choose_pairs
from dpo_analysis.diagnosis.findings import Fall
from dpo_analysis.diagnosis.thresholds import ESTABLISHED, READ
from dpo_analysis.errors import InputError
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Model, Run

Array = NDArray[np.float64]
UNIT = "nats per pair"


class Path:
    """The change of every chosen response's log-prob along one series, and the pairs that count at each checkpoint.

    Attributes:
        models: the scored checkpoints, by step.
        change: against the reference, nats, shape (models, pairs); NaN where a pair does not count.
        rejected: the same of the rejected responses.
        groups: the number of each pair's group, shape (pairs,).
        rows: the row of each pair, shape (pairs,).
        pair_ids: shape (pairs,).
        noise: nats of a response that two scorings may differ by.
    """

    def __init__(self, run: Run, series: str, split: str | None) -> None:
        """Read the sums of every scored checkpoint.

        Raises:
            InputError: the run has no such series or split.
            StorageError: a part is damaged.
        """
        if series not in run.series:
            raise InputError(
                f"no series {series!r} in run {run.path}: it has {', '.join(run.series)}; give one of these"
            )
        pairs = inputs(run).pairs
        inside = choose_pairs(run, pairs["split"].to_numpy(dtype=object), split)
        self.models: list[Model] = [one for one in run.models if one.series == series and run.parts_done(one)]
        found = [quantities(run, one, Setting()) for one in self.models]
        self.rows = pairs["row"].to_numpy()[inside]
        self.pair_ids = pairs["pair_id"].to_numpy(dtype=object)[inside]
        self.groups = np.unique(pairs["group_id"].to_numpy(dtype=str)[inside], return_inverse=True)[1]
        shape = (len(self.models), len(self.rows))
        self.change, self.rejected = np.full(shape, np.nan), np.full(shape, np.nan)
        for place, one in enumerate(found):
            used = one["used"][inside]
            self.change[place, used] = one["chosen_log_ratio"][inside][used]
            self.rejected[place, used] = one["rejected_log_ratio"][inside][used]
        floor = run.noise_floor
        self.noise = floor.response if floor else 0.0

    @property
    def means(self) -> Array:
        """The mean change of every checkpoint, nats, shape (models,)."""
        return np.array([_mean(change) for change in self.change])

    @property
    def lost(self) -> Array:
        """Mean over pairs of max(0, -change) at every checkpoint, nats per pair, shape (models,).

        A change within the noise floor is none.
        """
        return np.array([_mean(np.where(change >= -self.noise, 0.0, -change)) for change in self.change])

    @property
    def established(self) -> bool:
        """Whether enough is lost at the last checkpoint that a cause may be named."""
        return bool(self.models) and bool(self.lost[-1] >= ESTABLISHED)

    @property
    def readable(self) -> list[int]:
        """The checkpoints (places in ``models``) that a decline is read at, the first to be tried first."""
        return np.flatnonzero(self.lost >= READ).tolist() or [len(self.models) - 1]


def find_fall(run: Run, path: Path) -> Fall:
    """What the last checkpoint says of the chosen responses, in this order.

    offset, where the first checkpoint is below the reference and the last not below the first; below_start, where the
    mean is below the reference; below_peak, where it is below the series' own highest checkpoint; below_start again,
    where neither is so but more than ``ESTABLISHED`` nats per pair are lost (``hidden``); noise, where it is below 0
    within the noise floor; else none. "Below": the whole 95 % interval over groups is, by more than the noise floor.
    """
    if not path.models or not np.isfinite(path.change[-1]).any():
        nan = float("nan")
        return Fall("none", None, None, None, nan, nan, nan, UNIT, nan, nan, nan, False, 0)
    last = path.change[-1]
    against = _Change(last, path)
    if against.below:
        since = _Change(path.change[-1] - path.change[0], path)
        already = len(path.models) > 1 and _Change(path.change[0], path).below and not since.below
        return _told("offset" if already else "below_start", path, against, (0, _onset(path)), hidden=False)
    peak = int(np.nanargmax(path.means))
    since = _Change(last - path.change[peak], path)
    if peak < len(path.models) - 1 and since.below:
        step = path.models[peak].step
        return _told("below_peak", path, since, (step, step), hidden=False)
    if path.established:
        return _told("below_start", path, against, (0, _onset(path)), hidden=True)
    noise = -path.noise <= against.mean < 0
    return _told("noise" if noise else "none", path, against, (0, None), hidden=False)


class _Change:
    """A change per pair with its mean, interval over groups and what lies below it; nats."""

    def __init__(self, change: Array, path: Path) -> None:
        known = np.isfinite(change)
        self.change = change[known]
        self.noise = path.noise
        self.mean = _mean(change)
        ends = ratio_intervals(
            np.where(known, change, 0.0)[:, None],
            known.astype(float)[:, None],
            path.groups,
            int(path.groups.max(initial=-1)) + 1,
        )
        self.low, self.high = (float(end[0]) for end in ends)

    @property
    def below(self) -> bool:
        """Whether the whole interval is below 0 and the mean by more than the noise floor."""
        return self.high < 0 and self.mean < -self.noise


def _told(kind: str, path: Path, change: _Change, steps: tuple[int | None, int | None], *, hidden: bool) -> Fall:
    baseline, first = steps
    lost = np.sort(np.maximum(-change.change, 0))[::-1]
    tenth = lost[: max(1, len(lost) // 10)].sum() / lost.sum() if lost.sum() > 0 else float("nan")
    fell = float((change.change < -change.noise).mean()) if len(change.change) else float("nan")
    return Fall(
        kind, baseline, first, path.models[-1].step, change.mean, change.low, change.high, UNIT, fell,
        float(lost.mean()) if len(lost) else float("nan"), float(tenth), hidden, len(change.change),
    )  # fmt: skip


def _onset(path: Path) -> int | None:
    """The step of the first checkpoint from which the mean stays below 0 to the end; the last one's if it does not."""
    above = np.flatnonzero(path.means >= 0)
    first = int(above[-1]) + 1 if len(above) else 0
    return path.models[min(first, len(path.models) - 1)].step


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
