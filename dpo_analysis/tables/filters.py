"""Which pairs: the conditions that a person can ask for, as masks over a pair table of one policy.

What lies within the run's noise floor has neither risen nor fallen.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dpo_analysis.arrays.texts import TEXTS
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Run

Mask = NDArray[np.bool_]
FLIP_WEIGHT = 0.05
"""A pair that must get to so small a gradient weight before its order turns is one that DPO cannot flip; it starts at
0.5. The weight is sigmoid(-margin), so this is a needed margin of 2.94 beta x nats, and a loss of 0.051."""
FLIP_MARGIN = float(np.log((1 - FLIP_WEIGHT) / FLIP_WEIGHT))
"""The needed margin that belongs to ``FLIP_WEIGHT``, beta x nats."""
LONG = 0.75
"""The quantile of the tokens of both responses from which a pair is long."""


class Box(NamedTuple):
    """A rectangle of changes against the reference, nats: rejected from left to right, chosen from bottom to top."""

    left: float
    right: float
    bottom: float
    top: float


def with_flips(pairs: pd.DataFrame, betas: float | pd.Series) -> pd.DataFrame:
    """The pair table with ``flip_margin``, beta x nats: the margin from which the bare policy orders the pair right."""
    return pairs.assign(flip_margin=rewards.flip_margin(pairs["reference_margin"], 1.0) * betas)


def holds(pairs: pd.DataFrame, wanted: Iterable[str], noise: float = 0.0) -> Mask:
    """Which pairs meet every condition of ``CONDITIONS`` that is named, shape (pairs,); all where none is.

    Args:
        pairs: the pair table of one policy, made by ``with_flips``.
        wanted: names in ``CONDITIONS``.
        noise: the noise floor of a response, nats.
    """
    masks = [np.asarray(CONDITIONS[name](pairs, noise), dtype=bool) for name in wanted]
    return np.logical_and.reduce(masks) if masks else np.ones(len(pairs), dtype=bool)


def inside(pairs: pd.DataFrame, box: Box | None) -> Mask:
    """Which pairs lie in the rectangle, shape (pairs,); all where there is none, and no pair without a change."""
    if box is None:
        return np.ones(len(pairs), dtype=bool)
    across = pairs["rejected_log_ratio"].between(box.left, box.right)
    return np.asarray(across & pairs["chosen_log_ratio"].between(box.bottom, box.top), dtype=bool)


def found(run: Run, text: str) -> Collection[str] | None:
    """The ids of the pairs whose prompt, chosen or rejected text has ``text`` in it, case ignored; None for no text.

    Raises:
        StorageError: a part is damaged.
    """
    if not text.strip():
        return None
    return {pair_id for part in range(run.n_parts) for pair_id in _found(run.pairs(part, ["pair_id", *TEXTS]), text)}


def _found(pairs: pa.Table, text: str) -> Iterable[str]:
    hits = [pc.fill_null(pc.match_substring(pairs[name], text.strip(), ignore_case=True), False) for name in TEXTS]
    return pairs.filter(pc.or_(pc.or_(hits[0], hits[1]), hits[2]))["pair_id"].to_pylist()


def _fell(side: str) -> Callable[[pd.DataFrame, float], pd.Series]:
    return lambda pairs, noise: pairs[f"{side}_log_ratio"] < -noise


def _grown(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return pairs["chosen_log_ratio"] - pairs["rejected_log_ratio"] > noise


def _misranked(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return pairs["chosen_logps"] - pairs["rejected_logps"] <= noise


def _cannot_flip(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return _misranked(pairs, noise) & (pairs["flip_margin"] >= FLIP_MARGIN)


def _tokens(pairs: pd.DataFrame) -> pd.Series:
    return (pairs["chosen_n_tokens"] + pairs["rejected_n_tokens"]).astype("Float64").fillna(-1).astype(float)


def _long(pairs: pd.DataFrame, _: float) -> pd.Series:
    tokens = _tokens(pairs)
    return tokens >= tokens[tokens >= 0].quantile(LONG)


def _longer(side: str, other: str) -> Callable[[pd.DataFrame, float], pd.Series]:
    return lambda pairs, _: (pairs[f"{side}_n_tokens"] > pairs[f"{other}_n_tokens"]).fillna(False)


CONDITIONS: dict[str, Callable[[pd.DataFrame, float], Any]] = {
    "chosen_fell": _fell("chosen"),
    "both_fell": lambda pairs, noise: _fell("chosen")(pairs, noise) & _fell("rejected")(pairs, noise),
    "margin_grew": _grown,
    "margin_shrank": lambda pairs, noise: pairs["chosen_log_ratio"] - pairs["rejected_log_ratio"] < -noise,
    "misranked": _misranked,
    "unflipped": lambda pairs, noise: _misranked(pairs, noise) & (pairs["reference_margin"] <= noise),
    "cannot_flip": _cannot_flip,
    "chosen_longer": _longer("chosen", "rejected"),
    "rejected_longer": _longer("rejected", "chosen"),
    "long": _long,
}
SORTS: dict[str, tuple[str, bool]] = {
    "chosen_fell": ("chosen_log_ratio", True),
    "margin": ("margin", True),
    "rejected_fell": ("rejected_log_ratio", True),
    "flip_margin": ("flip_margin", False),
    "loss": ("loss", False),
    "tokens": ("chosen_n_tokens", False),
}
"""Orders of the pairs, what hurts most first: the column, and whether its smallest values come first."""
