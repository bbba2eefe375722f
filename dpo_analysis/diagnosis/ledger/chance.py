"""A share beside what chance gives it: the values of random draws, their interval, the rank of the observed value."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
N_DRAWS = 399
"""Random draws of a null. With the observed value they are 400, of which 2.5 % is a whole number."""
TAIL = 0.025
"""Share of the draws beyond each end of the interval."""
EQUAL = 1e-6
"""Values that differ by less are the same value, rounded otherwise."""


class ChanceShare(NamedTuple):
    """A share, or a mean, beside what it is by chance.

    Attributes:
        observed: the value of the run; NaN where nothing was lost there.
        expected: mean of the draws.
        low: lower end of the interval that holds the value of 95 % of the runs in which only chance acts.
        high: upper end.
        p: share of the draws that reach the observed value, which counts as a draw itself: (1 + draws that are at least
            as large) / (1 + draws).
        n_draws: number of random draws.
    """

    observed: float
    expected: float
    low: float
    high: float
    p: float
    n_draws: int

    @property
    def above(self) -> bool:
        """Whether the observed value is larger than chance makes it."""
        return self.observed > self.high + EQUAL

    @property
    def covered(self) -> bool:
        """Whether the interval holds the observed value."""
        return self.low - EQUAL <= self.observed <= self.high + EQUAL

    @classmethod
    def of(cls, observed: float, draws: Array) -> "ChanceShare":
        """Return the observed value beside its draws, shape (draws,).

        The ends of the interval are the k-th smallest and the k-th largest draw with k = 2.5 % of (draws + 1): an
        observed value that is a draw like the others lies between them in 95 % of the runs, and in more where draws are
        equal to each other.
        """
        if np.isnan(observed) or not len(draws):
            unknown = float("nan")
            return cls(observed, unknown, unknown, unknown, unknown, len(draws))
        rank = max(round(TAIL * (len(draws) + 1)), 1)
        ordered = np.sort(draws)
        reached = int((draws >= observed - EQUAL).sum())
        ends = float(ordered[rank - 1]), float(ordered[-rank])
        return cls(observed, float(draws.mean()), *ends, (1 + reached) / (1 + len(draws)), len(draws))
