"""What tokens can be coloured by: the column, the kind of scale, and the value of several tokens together."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.numerics import rewards

SIGNED, FALL, AMOUNT = "signed", "fall", "amount"
"""Kinds of scale: two poles around 0; from 0 downwards (log-probs); from 0 upwards."""


@dataclass(frozen=True, slots=True)
class Color:
    """One quantity that tokens are coloured by.

    Attributes:
        ramp: ``SIGNED``, ``FALL`` or ``AMOUNT``.
        unit: the column whose unit it has.
        noisy: whether it is beta times a log-ratio, so that the noise floor of log-ratios applies to it.
        needs: the evidence it is computed from; empty for what every run has.
    """

    ramp: str
    unit: str
    noisy: bool = False
    needs: str = ""


BY_NAME = {
    "advantage": Color(SIGNED, "advantage", noisy=True),
    "value": Color(SIGNED, "value", noisy=True),
    "logp": Color(FALL, "logp"),
    "reference_logp": Color(FALL, "reference_logp"),
    "change": Color(SIGNED, "advantage", noisy=True),
    "entropy": Color(AMOUNT, "entropy", needs="entropy"),
    "kl_reference_policy": Color(AMOUNT, "kl_reference_policy", needs="kl"),
    "credit": Color(SIGNED, "credit", needs="kl"),
    "credit_z": Color(SIGNED, "credit_z", needs="kl"),
}
COLORS = tuple(BY_NAME)
"""What tokens can be coloured by; ``change`` is the change of the advantage since the first checkpoint shown."""


def missing_colors(tokens: pd.DataFrame) -> dict[str, str]:
    """Return the colours that a token table has no value for, with the evidence they need: "entropy" or "kl"."""
    return {
        name: color.needs
        for name, color in BY_NAME.items()
        if color.needs and not (name in tokens and np.isfinite(tokens[name].to_numpy(dtype=float)).any())
    }


def unit_values(name: str, values: NDArray, variance: NDArray | None, starts: NDArray[np.int64]) -> NDArray:
    """Return the values of units from those of their tokens; NaN where a token of the unit has none.

    These are sums; for "value", which runs along the response, the last value; for "credit_z" the unit's credit in
    standard deviations of the unit.

    Args:
        name: the colour.
        values: shape (models, tokens); for credit_z those of ``credit``.
        variance: of credit, the same shape; only for credit_z.
        starts: the first token of each unit, shape (units,).

    Returns:
        Shape (models, units), in the unit of the colour.
    """
    if name == "value":
        return values[:, np.append(starts[1:], values.shape[1]) - 1]
    sums = np.add.reduceat(values, starts, axis=1)
    if variance is None:
        return sums
    return rewards.credit_z(sums, np.add.reduceat(variance, starts, axis=1))
