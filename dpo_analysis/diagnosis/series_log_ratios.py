"""The log-ratios of every pair's responses at every checkpoint of one series, and what the chosen responses lost."""

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import LossSettings, pair_quantities
from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.arrays.selection import split_mask
from dpo_analysis.diagnosis.thresholds import ESTABLISHED_NATS, FALLEN_PAIR_NATS, READABLE_NATS, TYPICAL_TOKENS
from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.schema import CHOSEN, SIDES

Array = NDArray[np.float64]


class SeriesLogRatios:
    """The log-ratio of every chosen response under every scored checkpoint of one series, on one split.

    A log-ratio is the change of a response's summed log-prob against the reference, in nats: negative is a fall, 0 is
    no change. Checkpoints and pairs are addressed by their index in these arrays.

    Attributes:
        models: the scored checkpoints, by step.
        chosen: log-ratio of each chosen response, nats, shape (models, pairs); NaN where the pair does not count.
        groups: number of each pair's group, from 0, shape (pairs,); intervals resample groups.
        rows: row of each pair, shape (pairs,).
        pair_ids: shape (pairs,).
        noise: noise floor of a response, nats: two scorings of it may differ by this much.
        scale: square root of the tokens of each chosen response over ``thresholds.TYPICAL_TOKENS``, shape (pairs,): by
            it the thresholds in nats are multiplied; 1 where the tokens are not known.
    """

    def __init__(self, run: Run, series: str, split: str | None, until: str | None = None) -> None:
        """Read the sums of every scored checkpoint.

        Args:
            run: an open run.
            series: a series of the run.
            split: split of the pairs.
            until: name of the checkpoint to end with, or SERIES/NAME; None for the last that is scored.

        Raises:
            InputError: the run has no such series, checkpoint or split.
            StorageError: a part is damaged.
        """
        if series not in run.series:
            raise InputError(
                f"no series {series!r} in run {run.path}: it has {', '.join(run.series)}; give one of these"
            )
        pairs = pair_index(run).pairs
        inside = split_mask(run, pairs["split"].to_numpy(dtype=object), split)
        self.models = _scored_models(run, series, until)
        self.rows = pairs["row"].to_numpy()[inside]
        self.pair_ids = pairs["pair_id"].to_numpy(dtype=object)[inside]
        self.groups = np.unique(pairs["group_id"].to_numpy(dtype=str)[inside], return_inverse=True)[1]
        self.chosen = np.full((len(self.models), len(self.rows)), np.nan)
        for index, model in enumerate(self.models):
            quantities = pair_quantities(run, model, LossSettings())
            used = quantities["used"][inside]
            self.chosen[index, used] = quantities["chosen_log_ratio"][inside][used]
        n_tokens = pair_index(run).n_tokens[inside, SIDES.index(CHOSEN)]
        self.scale = np.sqrt(np.where(n_tokens > 0, n_tokens, TYPICAL_TOKENS) / TYPICAL_TOKENS)
        floor = run.noise_floor
        self.noise = floor.response if floor else 0.0

    @property
    def means(self) -> Array:
        """The mean log-ratio of the chosen responses at every checkpoint, nats, shape (models,)."""
        return np.array([finite_mean(log_ratio) for log_ratio in self.chosen])

    @property
    def lost(self) -> Array:
        """Mean over pairs of max(0, -log-ratio) at every checkpoint, nats per pair, shape (models,).

        A log-ratio within the noise floor counts as 0.
        """
        return np.array([finite_mean(np.where(ratio >= -self.noise, 0.0, -ratio)) for ratio in self.chosen])

    @property
    def mean_scale(self) -> float:
        """The mean of ``scale``; 1 without pairs."""
        return float(self.scale.mean()) if len(self.scale) else 1.0

    @property
    def fallen_limits(self) -> Array:
        """What the chosen response of each pair must lose to be fallen, nats, positive, shape (pairs,)."""
        return np.maximum(FALLEN_PAIR_NATS * self.scale, self.noise)

    @property
    def established(self) -> bool:
        """Whether enough is lost at the last checkpoint that a cause may be named."""
        return bool(self.models) and bool(self.lost[-1] >= ESTABLISHED_NATS * self.mean_scale)

    @property
    def readable(self) -> list[int]:
        """The indices of the checkpoints that the ledger may be read at, the first one to be tried first.

        An early checkpoint is preferred: after a collapse every response falls, and the source of the loss blurs.
        """
        return np.flatnonzero(self.lost >= READABLE_NATS * self.mean_scale).tolist() or [len(self.models) - 1]

    def fallen(self, index: int) -> NDArray[np.bool_]:
        """Return which pairs are fallen at one checkpoint, shape (pairs,): see ``thresholds.FALLEN_PAIR_NATS``."""
        return np.nan_to_num(self.chosen[index]) < -self.fallen_limits


def _scored_models(run: Run, series: str, until: str | None) -> list[Model]:
    """Return the scored checkpoints of a series, by step, up to ``until``."""
    models = [model for model in run.models if model.series == series and run.parts_done(model)]
    if until is None:
        return models
    names = [model.name for model in models]
    name = until.removeprefix(f"{series}/")
    if name not in names:
        raise InputError(f"no scored checkpoint {until!r} in series {series!r}: it has {', '.join(names)}; give one")
    return models[: names.index(name) + 1]


def default_split(run: Run) -> str:
    """Return the split that is diagnosed where none is named: ``eval`` where the run has it, else its first."""
    return "eval" if "eval" in run.splits else run.splits[0]


def finite_mean(values: Array) -> float:
    """Return the mean of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
