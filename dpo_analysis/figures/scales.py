"""Scales: one for one quantity on a page, as wide as the numbers mean something, written without SI prefixes."""

import math
from typing import Any

import numpy as np
import pandas as pd

from dpo_analysis.figures.token_view.colors import AMOUNT, FALL
from dpo_analysis.text.numbers import signed_significant, with_minus_signs

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


def axis_ticks(low: float, high: float, *, most: int = 6, share: bool = False, whole: bool = False) -> dict[str, Any]:
    """Return ``tickvals`` and ``ticktext`` of an axis: round numbers at equal distances, the same whenever it is drawn.

    Plotly would choose ticks by the pixels that a figure has at that moment, so a page that is still being laid out
    would get others than one that is drawn again.

    Args:
        low: one end of the axis.
        high: its other end.
        most: about how many ticks there is room for.
        share: whether values are written in percent.
        whole: whether ticks are whole numbers only.
    """
    low, high = sorted((low, high))
    step = nice_step((high - low) / most)
    step = max(1.0, step) if whole else step
    places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    is_tiny = max(abs(low), abs(high)) < TINY
    values = [float(f"{place * step:.12g}") for place in places]
    return {"tickvals": values, "ticktext": [_tick_text(value, digits, is_tiny, share) for value in values]}


def _tick_text(value: float, digits: int, is_tiny: bool, share: bool) -> str:
    if share:
        return f"{100 * value:.{max(0, digits - 2)}f}%"
    text = f"{value:g}".replace("e-0", "e-") if is_tiny else f"{value:.{digits}f}" if value else "0"
    return with_minus_signs(text)


def nice_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 x a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


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
