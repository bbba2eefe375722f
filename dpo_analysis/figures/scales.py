"""Scales: one for one quantity on a page, as wide as the numbers mean something, written without SI prefixes."""

import numpy as np
import pandas as pd

from dpo_analysis.figures.token_view.colors import AMOUNT, FALL
from dpo_analysis.text.numbers import signed_significant

FLAT = 1e-6
"""Nats: what float32 log-probs can still tell apart; no scale is finer, so that rounding is not drawn as a curve."""
TINY = 1e-3
"""An axis that ends below this is written with exponents."""


def scale_of(values: np.ndarray | pd.Series) -> float:
    """Return the value that gets the full colour: the 99th percentile of the absolute values, to four digits.

    Returns:
        At least ``FLAT``; 1 where all values are 0 or missing.
    """
    sizes = np.abs(np.asarray(values, dtype=float).ravel())
    sizes = sizes[np.isfinite(sizes)]
    top = float(np.quantile(sizes, 0.99)) if sizes.size else 0.0
    return float(f"{max(top, FLAT):.4g}") if top else 1.0


def tick_format(low: float, high: float) -> str:
    """Return Plotly's ``exponentformat`` of an axis: plain numbers, or powers of ten where all of them are tiny."""
    return "e" if max(abs(low), abs(high)) < TINY else "none"


def with_change(tokens: pd.DataFrame, base: str) -> pd.DataFrame:
    """Return the token table with ``change``: the advantage minus that under ``base``, beta x nats.

    Args:
        tokens: a token table.
        base: a policy in it (SERIES/NAME); tokens that it has no value for get NaN.
    """
    place = ["pair_id", "side", "position"]
    is_base = tokens["series"] + "/" + tokens["model"] == base
    base_advantages = tokens[is_base].drop_duplicates(place).set_index(place)["advantage"]
    before = base_advantages.reindex(pd.MultiIndex.from_frame(tokens[place])).to_numpy(dtype=float)
    return tokens.assign(change=tokens["advantage"].to_numpy(dtype=float) - before)


def scale_ends(limit: float, ramp: str) -> tuple[float, float]:
    """Return the lowest and the highest value of a scale; ``ramp`` is its kind (``token_view.colors``)."""
    return (0.0 if ramp == AMOUNT else -limit, 0.0 if ramp == FALL else limit)


def end_labels(ends: tuple[float, float]) -> tuple[str, str]:
    """Return both ends of a scale as a legend writes them: signed, unless the scale begins at 0."""
    low, high = (signed_significant(end) for end in ends)
    return low, high if ends[0] else high.removeprefix("+")
