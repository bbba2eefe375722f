"""Filters and sort orders of pairs, as masks over the pair table of one policy.

A change within the run's noise floor counts neither as a rise nor as a fall.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.texts import TEXTS
from dpo_analysis.numerics import rewards
from dpo_analysis.runs import Run
from dpo_analysis.runs.list_columns import compute as pc

Mask = NDArray[np.bool_]
Filter = Callable[[pd.DataFrame, float], Any]
"""Pair table with flip_margin, noise floor of a response (nats) -> mask of shape (pairs,)."""
FLIP_WEIGHT = 0.05
"""A pair whose gradient weight must fall to this before its order flips is a pair that DPO cannot flip; the weight is
0.5 before training. It is sigmoid(-margin), so this is a needed margin of 2.94 beta x nats, and a loss of 0.051."""
FLIP_MARGIN = float(np.log((1 - FLIP_WEIGHT) / FLIP_WEIGHT))
"""The needed margin that belongs to ``FLIP_WEIGHT``, beta x nats."""
LONG_QUANTILE = 0.75
"""A pair is long from this quantile of the tokens of both responses together."""


class Box(NamedTuple):
    """A rectangle of changes against the reference, nats: left to right the rejected side, bottom to top the chosen."""

    left: float
    right: float
    bottom: float
    top: float


def with_flip_margins(pairs: pd.DataFrame, betas: float | pd.Series) -> pd.DataFrame:
    """Return the pair table with ``flip_margin``, beta x nats: the margin above which the policy orders the pair right.

    Args:
        pairs: a pair table.
        betas: the beta, or that of each row.
    """
    return pairs.assign(flip_margin=rewards.flip_margin(pairs["reference_margin"], 1.0) * betas)


def filter_mask(pairs: pd.DataFrame, names: Iterable[str], noise: float = 0.0) -> Mask:
    """Return which pairs pass all the named filters, shape (pairs,); every pair if no filter is named.

    Args:
        pairs: the pair table of one policy, from ``with_flip_margins``.
        names: names in ``FILTERS``.
        noise: the noise floor of a response, nats.
    """
    masks = [np.asarray(FILTERS[name](pairs, noise), dtype=bool) for name in names]
    return np.logical_and.reduce(masks) if masks else np.ones(len(pairs), dtype=bool)


def box_mask(pairs: pd.DataFrame, box: Box | None) -> Mask:
    """Return which pairs lie in the rectangle, shape (pairs,); every pair if there is none.

    A pair that does not count lies in no rectangle.
    """
    if box is None:
        return np.ones(len(pairs), dtype=bool)
    inside = pairs["rejected_log_ratio"].between(box.left, box.right)
    return np.asarray(inside & pairs["chosen_log_ratio"].between(box.bottom, box.top), dtype=bool)


def pairs_with_text(run: Run, text: str) -> Collection[str] | None:
    """Return the ids of the pairs whose prompt, chosen or rejected text contains ``text``, ignoring case.

    None for an empty text.

    Raises:
        StorageError: a part is damaged.
    """
    if not text.strip():
        return None
    parts = (run.pairs(part, ["pair_id", *TEXTS]) for part in run.present_parts)
    return {pair_id for pairs in parts for pair_id in _ids_with_text(pairs, text)}


def _ids_with_text(pairs: pa.Table, text: str) -> list[str]:
    hits = [pc.fill_null(pc.match_substring(pairs[name], text.strip(), ignore_case=True), False) for name in TEXTS]
    return pairs.filter(pc.or_(pc.or_(hits[0], hits[1]), hits[2]))["pair_id"].to_pylist()


def _fell(side: str) -> Filter:
    return lambda pairs, noise: pairs[f"{side}_log_ratio"] < -noise


def _both_fell(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return (pairs["chosen_log_ratio"] < -noise) & (pairs["rejected_log_ratio"] < -noise)


def _margin_grew(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return pairs["chosen_log_ratio"] - pairs["rejected_log_ratio"] > noise


def _margin_shrank(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return pairs["chosen_log_ratio"] - pairs["rejected_log_ratio"] < -noise


def _misranked(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return pairs["chosen_logps"] - pairs["rejected_logps"] <= noise


def _unflipped(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return _misranked(pairs, noise) & (pairs["reference_margin"] <= noise)


def _cannot_flip(pairs: pd.DataFrame, noise: float) -> pd.Series:
    return _misranked(pairs, noise) & (pairs["flip_margin"] >= FLIP_MARGIN)


def _longer(side: str, other: str) -> Filter:
    return lambda pairs, _: (pairs[f"{side}_n_tokens"] > pairs[f"{other}_n_tokens"]).fillna(False)


def _long(pairs: pd.DataFrame, _: float) -> pd.Series:
    tokens = pairs["chosen_n_tokens"] + pairs["rejected_n_tokens"]
    tokens = tokens.astype("Float64").fillna(-1).astype(float)
    return tokens >= tokens[tokens >= 0].quantile(LONG_QUANTILE)


FILTERS: dict[str, Filter] = {
    "chosen_fell": _fell("chosen"),
    "both_fell": _both_fell,
    "margin_grew": _margin_grew,
    "margin_shrank": _margin_shrank,
    "misranked": _misranked,
    "unflipped": _unflipped,
    "cannot_flip": _cannot_flip,
    "chosen_longer": _longer("chosen", "rejected"),
    "rejected_longer": _longer("rejected", "chosen"),
    "long": _long,
}
SORT_ORDERS: dict[str, tuple[str, bool]] = {
    "chosen_fell": ("chosen_log_ratio", True),
    "margin": ("margin", True),
    "rejected_fell": ("rejected_log_ratio", True),
    "flip_margin": ("flip_margin", False),
    "loss": ("loss", False),
    "tokens": ("chosen_n_tokens", False),
}
"""The column that pairs are sorted by, and whether in ascending order; the worst pairs come first."""
