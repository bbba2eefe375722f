"""How far both responses of every pair moved by one checkpoint, and the means that an answer is made of."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.arrays.pair_quantities import LossSettings, pair_quantities
from dpo_analysis.arrays.response_sums import pair_index
from dpo_analysis.arrays.selection import split_mask
from dpo_analysis.diagnosis.findings import Share
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Model, Run

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PairChanges:
    """The change of both responses of every pair that counts, at one checkpoint and on one split.

    Attributes:
        split: name of the split.
        chosen: change of each chosen response's summed log-prob against the reference, nats, shape (pairs,); negative
            where it lost probability.
        rejected: the same of the rejected responses.
        n_tokens: tokens of the chosen and of the rejected response, shape (pairs, 2).
        groups: number of each pair's group, from 0, shape (pairs,); intervals resample groups.
        rows: row of each pair, shape (pairs,).
        pair_ids: shape (pairs,).
        noise: nats by which two scorings of one response may differ.
        n_identical: pairs of the split whose two responses are equal, whether they count or not.
    """

    split: str
    chosen: Array
    rejected: Array
    n_tokens: NDArray[np.int64]
    groups: NDArray[np.int64]
    rows: NDArray[np.int64]
    pair_ids: NDArray[np.object_]
    noise: float = 0.0
    n_identical: int = 0

    @property
    def n_pairs(self) -> int:
        """Pairs that count."""
        return len(self.chosen)

    @cached_property
    def margins(self) -> Array:
        """Change of the chosen minus change of the rejected response, nats, shape (pairs,): reward margin / beta."""
        return self.chosen - self.rejected

    @cached_property
    def decided(self) -> Mask:
        """Which pairs have a margin beyond the noise floor of two responses, shape (pairs,)."""
        return np.abs(self.margins) > max(self.noise, 1e-9)

    @cached_property
    def accuracy(self) -> Share:
        """Share of the decided pairs with a margin above 0, with its interval; NaN where none is decided."""
        return self.share_of_decided(self.margins > 0)

    @cached_property
    def chosen_mean(self) -> Share:
        """Mean change of a chosen response with its 95 % interval, nats per response."""
        return self.mean(self.chosen)

    @cached_property
    def rejected_mean(self) -> Share:
        """Mean change of a rejected response with its 95 % interval, nats per response."""
        return self.mean(self.rejected)

    @cached_property
    def chosen_per_token(self) -> float:
        """Summed change of the chosen responses over their tokens, nats per token."""
        return _over(self.chosen, self.n_tokens[:, 0])

    @cached_property
    def rejected_per_token(self) -> float:
        """The same of the rejected responses."""
        return _over(self.rejected, self.n_tokens[:, 1])

    def median_size(self, side: int) -> float:
        """Return the median |change| of one side, nats per token; NaN without pairs."""
        change = (self.chosen, self.rejected)[side]
        return float(np.median(np.abs(change) / np.maximum(self.n_tokens[:, side], 1))) if len(change) else float("nan")

    def mean(self, values: Array) -> Share:
        """Return the mean of a value per pair with its 95 % interval over groups."""
        return self._ratio(values, np.ones(len(values)))

    def share_of_decided(self, mask: Mask) -> Share:
        """Return the share of the decided pairs that are in ``mask``, with its 95 % interval over groups."""
        decided = self.decided.astype(float)
        return self._ratio(decided * mask, decided)

    def _ratio(self, sums: Array, counts: Array) -> Share:
        if not counts.sum():
            return Share(float("nan"), float("nan"), float("nan"))
        n_groups = int(self.groups.max(initial=-1)) + 1
        low, high = ratio_intervals(sums[:, None], counts[:, None], self.groups, n_groups)
        return Share(float(sums.sum() / counts.sum()), float(low[0]), float(high[0]))


def read_pair_changes(run: Run, model: Model, split: str) -> PairChanges:
    """Return the changes of the pairs of one split under one checkpoint.

    Raises:
        InputError: the run has no such split.
        StorageError: a part is damaged.
    """
    pairs = pair_index(run).pairs
    quantities = pair_quantities(run, model, LossSettings())
    inside = split_mask(run, pairs["split"].to_numpy(dtype=object), split)
    used = inside & quantities["used"]
    used &= np.isfinite(quantities["chosen_log_ratio"]) & np.isfinite(quantities["rejected_log_ratio"])
    floor = run.noise_floor
    return PairChanges(
        split=split,
        chosen=quantities["chosen_log_ratio"][used],
        rejected=quantities["rejected_log_ratio"][used],
        n_tokens=np.stack([quantities["chosen_n_tokens"][used], quantities["rejected_n_tokens"][used]], axis=1),
        groups=np.unique(pairs["group_id"].to_numpy(dtype=str)[used], return_inverse=True)[1],
        rows=pairs["row"].to_numpy()[used],
        pair_ids=pairs["pair_id"].to_numpy(dtype=object)[used],
        noise=floor.response if floor else 0.0,
        n_identical=int((inside & (quantities["status"] == "identical")).sum()),
    )


def _over(change: Array, n_tokens: NDArray[np.int64]) -> float:
    return float(change.sum() / n_tokens.sum()) if n_tokens.sum() else float("nan")
