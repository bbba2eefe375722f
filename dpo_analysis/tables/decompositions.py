"""Exact decompositions: the change of a mean log-prob as a sum over parts of the responses, or over pairs.

Each decomposes the mean over pairs of log pi(y|x) - log pi_before(y|x), nats per response, and its parts add up to that
mean. A decomposition says where a change lies; it does not say why.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays.region_sums import RegionArrays, region_logps, region_token_counts
from dpo_analysis.arrays.response_sums import counted_pairs, pair_index, response_sums
from dpo_analysis.arrays.selection import Names, choose_models, split_mask
from dpo_analysis.errors import InputError
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Model, Run
from dpo_analysis.schema import DIVISIONS, SIDES

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
CUTS = (0.01, 0.05, 0.10, 0.25, 0.50)
"""Shares of the pairs, sorted by their change, the deepest fall first, at which a part of them ends (rounded)."""
QUANTILES = ("first1", "first5", "first10", "first25", "first50", "to5", "to10", "to25", "to50", "rest")
"""Parts of the sorted pairs: ``first5`` are the 5 % that fell most, ``to10`` the next ones up to 10 %, ``rest`` the
half that fell least. The first part of a run is the smallest that holds a whole pair."""
DECOMPOSITIONS = ("place", "kind", "span", "quantile")
"""By region of the response, by kind of token, by span shared with the other side (see ``text``), and by pairs."""
COLUMNS = ["side", "by", "part", "n_pairs", "n_tokens", "log_ratio", "low", "high", "share", "log_ratio_per_token"]


class _CountedPairs(NamedTuple):
    """The pairs that count: their index among the pairs of the run, sorted, and the number of the group of each."""

    index: Ints
    groups: Ints


def decomposition_table(
    run: Run, *, model: str, before: str | None = None, split: Names = None, by: Sequence[str] = DECOMPOSITIONS
) -> pd.DataFrame:
    """Return where the change of the mean log-prob lies: one row per side, decomposition and part.

    Args:
        run: an open run.
        model: the policy, NAME or SERIES/NAME.
        before: the policy that the change is measured from; None for the reference.
        split: only pairs of these splits.
        by: only these of ``DECOMPOSITIONS``.

    Returns:
        Columns: side; by (place, kind, span, quantile); part; n_pairs (pairs with a token in the part); n_tokens (0
        where no tokens are stored); log_ratio (what the part adds to the mean change, nats per response) with its 95 %
        interval over groups (low, high; NaN for quantiles, whose parts depend on the change itself); share (of the mean
        change; NaN where that lies within the noise floor); log_ratio_per_token (nats per token of the part). A run
        without stored tokens has quantiles only; one pair has none.

    Raises:
        InputError: nothing in the run has such a name, or the name means several models.
        StorageError: a part is damaged.
    """
    policy = _single_model(run, model)
    base = run.reference if before is None else _single_model(run, before)
    pairs = _select_pairs(run, [policy] if base.is_reference else [policy, base], split)
    divisions = [name for name in DIVISIONS if name in by]
    changes, counts = _part_sums(run, policy, base, pairs, divisions)
    floor = run.noise_floor
    noise = floor.response if floor else 0.0
    has_tokens = len(pairs.index) and any(count.any() for count in counts.values())
    frames = []
    for index, side in enumerate(SIDES):
        for name in divisions if has_tokens else ():
            parts = _part_rows(changes[name][:, index], counts[name][:, index], pairs, DIVISIONS[name])
            frames.append(_with_shares(parts, noise).assign(side=side, by=name).loc[lambda rows: rows["n_tokens"] > 0])
        if "quantile" in by:
            response_changes = (response_sums(run, policy).logps - response_sums(run, base).logps)[pairs.index]
            n_tokens = pair_index(run).n_tokens[pairs.index]
            parts = _quantile_rows(response_changes[:, index], n_tokens[:, index])
            if len(parts) > 1:
                frames.append(_with_shares(parts, noise).assign(side=side, by="quantile"))
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS) if frames else pd.DataFrame(columns=COLUMNS)


def _single_model(run: Run, name: str) -> Model:
    models = choose_models(run, None, name)
    if len(models) > 1:
        raise InputError(f"several models {name!r} in run {run.path}: name one of them; write SERIES/NAME")
    return models[0]


def _select_pairs(run: Run, policies: Sequence[Model], split: Names) -> _CountedPairs:
    pairs = pair_index(run).pairs
    used = split_mask(run, pairs["split"].to_numpy(dtype=object), split)
    for policy in policies:
        used = used & counted_pairs(run, policy)
    return _CountedPairs(np.flatnonzero(used), pd.factorize(pairs["group_id"][used])[0].astype(np.int64))


def _part_sums(
    run: Run, policy: Model, base: Model, pairs: _CountedPairs, divisions: Sequence[str]
) -> tuple[RegionArrays, RegionArrays]:
    """Return changes, nats, and numbers of tokens by division, shape (pairs, sides, parts); 0 without tokens."""
    # A slice copies nothing where every pair counts.
    pair = slice(None) if len(pair_index(run).pairs) == len(pairs.index) else pairs.index
    after, before, tokens = region_logps(run, policy), region_logps(run, base), region_token_counts(run)
    changes = {name: after[name][pair] - before[name][pair] for name in divisions}
    counts = {name: tokens[name][pair] for name in divisions}
    missing = ~np.isfinite(next(iter(changes.values()))[:, 0, 0]) if divisions else np.zeros(0, dtype=bool)
    if missing.any():
        changes = {name: np.where(missing[:, None, None], 0.0, change) for name, change in changes.items()}
        counts = {name: np.where(missing[:, None, None], 0.0, count) for name, count in counts.items()}
    return changes, counts


def _part_rows(changes: Array, counts: Array, pairs: _CountedPairs, parts: Sequence[str]) -> pd.DataFrame:
    """Return one row per part of a side, from changes (nats) and token counts, both of shape (pairs, parts)."""
    n_groups = int(pairs.groups.max(initial=-1)) + 1
    low, high = ratio_intervals(changes, np.ones_like(changes), pairs.groups, n_groups)
    return pd.DataFrame(
        {
            "part": list(parts),
            "n_pairs": (counts > 0).sum(axis=0),
            "n_tokens": counts.sum(axis=0).astype(int),
            "log_ratio": changes.mean(axis=0),
            "low": low,
            "high": high,
            "total": changes.sum(axis=0),
        }
    )


def _quantile_rows(changes: Array, lengths: Array) -> pd.DataFrame:
    """Return one row per part of the sorted pairs, from changes (nats) and token counts, both of shape (pairs,).

    A cut that would hold less than one pair is left out, so that no part of few pairs is called 1 % of them.
    """
    order = np.argsort(changes, kind="stable")
    cuts = [cut for cut in CUTS if cut * len(order) >= 1 - 1e-9]
    names = [f"{'to' if place else 'first'}{cut:.0%}".removesuffix("%") for place, cut in enumerate(cuts)]
    pieces = np.split(order, [int(cut * len(order) + 0.5 + 1e-9) for cut in cuts])
    totals = np.array([changes[piece].sum() for piece in pieces])
    n_tokens = np.nan_to_num(np.array([lengths[piece].sum() for piece in pieces])).astype(int)
    return pd.DataFrame(
        {
            "part": [*names, "rest"],
            "n_pairs": [len(piece) for piece in pieces],
            "n_tokens": n_tokens,
            "log_ratio": totals / max(len(order), 1),
            "low": np.nan,
            "high": np.nan,
            "total": totals,
        }
    )


def _with_shares(rows: pd.DataFrame, noise: float) -> pd.DataFrame:
    """Return the rows with the share of each part and its change per token, from ``total``, nats over all pairs."""
    whole = float(rows["log_ratio"].sum())
    share = rows["log_ratio"] / whole if abs(whole) > noise else np.nan
    n_tokens = rows["n_tokens"].to_numpy()
    per_token = np.where(n_tokens > 0, rows["total"].to_numpy() / np.maximum(n_tokens, 1), np.nan)
    return rows.assign(share=share, log_ratio_per_token=per_token)
