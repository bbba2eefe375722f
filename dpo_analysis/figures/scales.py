"""Scales: one for one quantity on a page, as wide as the numbers mean something, written without SI prefixes."""

import numpy as np
import pandas as pd

from dpo_analysis.figures.token_view.colors import AMOUNT, FALL

FLAT = 1e-6
"""Nats: what float32 log-probs can still tell apart; no scale is finer, so that rounding is not drawn as a curve."""
TINY = 1e-3
"""An axis that ends below this is written with exponents."""


def scale_of(values: np.ndarray | pd.Series) -> float:
    """The value that gets the full colour, to four digits: the 99th percentile of the absolute values, and no noise.

    Returns:
        At least ``FLAT``; 1 where everything is 0 or missing.
    """
    sizes = np.abs(np.asarray(values, dtype=float).ravel())
    sizes = sizes[np.isfinite(sizes)]
    top = float(np.quantile(sizes, 0.99)) if sizes.size else 0.0
    return float(f"{max(top, FLAT):.4g}") if top else 1.0


def scale_end(value: float) -> str:
    """An end of a scale as a legend writes it: signed, up to four digits, an exponent where it is tiny."""
    text = "0" if value == 0 else f"{value:+.4g}"
    return text.replace("e-0", "e-").replace("-", "\u2212")


def tick_format(low: float, high: float) -> dict[str, object]:
    """Options of an axis from ``low`` to ``high``: plain numbers, or powers of ten where all of them are tiny."""
    return {"exponentformat": "e" if max(abs(low), abs(high)) < TINY else "none"}


def with_change(tokens: pd.DataFrame, base: str) -> pd.DataFrame:
    """The token table with ``change``: the advantage minus that of the policy ``base`` (SERIES/NAME), beta x nats.

    Args:
        tokens: a token table.
        base: a policy in it; tokens that it has no value for get NaN.
    """
    place = ["pair_id", "side", "position"]
    own = tokens["series"] + "/" + tokens["model"] == base
    first = tokens[own].drop_duplicates(place).set_index(place)["advantage"]
    here = first.reindex(pd.MultiIndex.from_frame(tokens[place])).to_numpy(dtype=float)
    return tokens.assign(change=tokens["advantage"].to_numpy(dtype=float) - here)


def scale_ends(limit: float, ramp: str) -> tuple[float, float]:
    """The lowest and the highest value of a scale of this kind (``token_colors``)."""
    return (0.0 if ramp == AMOUNT else -limit, 0.0 if ramp == FALL else limit)


def end_words(ends: tuple[float, float]) -> tuple[str, str]:
    """Both ends of a scale as a legend writes them: signed, unless nothing on it lies below 0."""
    low, high = (scale_end(end) for end in ends)
    return low, high if ends[0] else high.removeprefix("+")
