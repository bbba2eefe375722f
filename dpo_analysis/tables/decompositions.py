"""Exact splits: the change of a mean log-prob as a sum over parts of the responses, or over pairs.

Every split takes the same whole apart, the mean over pairs of log pi(y|x) - log pi_before(y|x), nats per response, and
its parts add up to it. A split says where a change lies; it does not say why.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpo_analysis.arrays import region_sums
from dpo_analysis.arrays.region_sums import ByParts, cell_sums
from dpo_analysis.arrays.response_sums import counted, inputs, sums
from dpo_analysis.arrays.selection import Names, choose_models, choose_pairs
from dpo_analysis.errors import InputError
from dpo_analysis.numerics.bootstrap import ratio_intervals
from dpo_analysis.runs import Model, Run
from dpo_analysis.schema import PARTS, SIDES

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
QUANTILES = {"first1": 0.01, "to5": 0.05, "to10": 0.10, "to25": 0.25, "to50": 0.50, "rest": 1.0}
"""Pairs by their own change, the deepest fall first: up to which share of the pairs each part reaches (rounded up)."""
SPLITS = ("place", "kind", "span", "quantile")
COLUMNS = ["side", "by", "part", "n_pairs", "n_tokens", "log_ratio", "low", "high", "share", "log_ratio_per_token"]


class _Pairs(NamedTuple):
    """The pairs that count: their rows, sorted, and the number of each one's group."""

    rows: Ints
    groups: Ints


def split_table(
    run: Run, *, model: str, before: str | None = None, split: Names = None, by: Sequence[str] = SPLITS
) -> pd.DataFrame:
    """Where the change of the mean log-prob lies: one row per side, split and part.

    Args:
        run: an open run.
        model: the policy, NAME or SERIES/NAME.
        before: the policy that the change is measured from; None for the reference.
        split: only these splits of the pairs.
        by: only these of ``SPLITS``.

    Returns:
        Columns: side; by (place, kind, span, quantile); part; n_pairs (that have a token of it); n_tokens (0 where none
        are stored); log_ratio
        (its part of the mean change, nats per response: the parts of one ``by`` add up to the whole) with its 95 %
        interval over groups (low, high; none for quantiles, whose parts depend on the change itself); share (of the
        whole; NaN where that lies within the noise floor); log_ratio_per_token (nats per token of this part).
        A run without stored tokens has quantiles only.

    Raises:
        InputError: nothing in the run is called so.
        StorageError: a part is damaged.
    """
    policy = _one(run, model)
    base = run.reference if before is None else _one(run, before)
    pairs = _counted(run, [policy] if base.is_reference else [policy, base], split)
    cut = [name for name in PARTS if name in by]
    changes, counts = _by_part(run, policy, base, pairs, cut)
    floor = run.noise_floor
    noise = floor.response if floor else 0.0
    frames = []
    for side, name in enumerate(SIDES):
        for one in cut if len(pairs.rows) and any(count.any() for count in counts.values()) else ():
            frames.append(_rows(changes[one][:, side], counts[one][:, side], pairs, (name, one, PARTS[one]), noise))
        if "quantile" in by:
            own, lengths = _changes(run, policy, base, pairs), _lengths(run, pairs)
            frames.append(_quantiles(own[:, side], lengths[:, side], name, noise))
    return pd.concat(frames, ignore_index=True).reindex(columns=COLUMNS)


def _one(run: Run, name: str) -> Model:
    found = choose_models(run, None, name)
    if len(found) > 1:
        raise InputError(f"several models {name!r} in run {run.path}: a split is of one; write SERIES/NAME")
    return found[0]


def _counted(run: Run, policies: Sequence[Model], split: Names) -> _Pairs:
    pairs = inputs(run).pairs
    used = choose_pairs(run, pairs["split"].to_numpy(dtype=object), split)
    for policy in policies:
        used = used & counted(run, policy)
    return _Pairs(pairs["row"].to_numpy()[used], pd.factorize(pairs["group_id"][used])[0].astype(np.int64))


def _changes(run: Run, policy: Model, base: Model, pairs: _Pairs) -> Array:
    """Change of every response, nats, shape (pairs, sides)."""
    place = np.searchsorted(inputs(run).pairs["row"].to_numpy(), pairs.rows)
    return (sums(run, policy).logps - sums(run, base).logps)[place]


def _lengths(run: Run, pairs: _Pairs) -> Array:
    return inputs(run).n_tokens[np.searchsorted(inputs(run).pairs["row"].to_numpy(), pairs.rows)]


def _by_part(run: Run, policy: Model, base: Model, pairs: _Pairs, cut: Sequence[str]) -> tuple[ByParts, ByParts]:
    """Sums of changes and numbers of tokens by split, shape (pairs, sides, parts); 0 where tokens are missing."""
    rows = inputs(run).pairs["row"].to_numpy()
    place = slice(None) if len(rows) == len(pairs.rows) else np.searchsorted(rows, pairs.rows)
    own, before, tokens = cell_sums(run, policy), cell_sums(run, base), region_sums.counts(run)
    changes = {by: own[by][place] - before[by][place] for by in cut}
    counts = {by: tokens[by][place] for by in cut}
    lost = ~np.isfinite(next(iter(changes.values()))[:, 0, 0]) if cut else np.zeros(0, dtype=bool)
    if lost.any():
        changes = {by: np.where(lost[:, None, None], 0.0, change) for by, change in changes.items()}
        counts = {by: np.where(lost[:, None, None], 0.0, count) for by, count in counts.items()}
    return changes, counts


def _rows(
    sums: Array, counts: Array, pairs: _Pairs, named: tuple[str, str, Sequence[str]], noise: float
) -> pd.DataFrame:
    """The parts of one split of one side that have a token."""
    side, by, parts = named
    n_groups = int(pairs.groups.max(initial=-1)) + 1
    low, high = ratio_intervals(sums, np.ones_like(sums), pairs.groups, n_groups)
    frame = pd.DataFrame({"side": side, "by": by, "part": list(parts), "n_pairs": (counts > 0).sum(axis=0)})
    frame = frame.assign(n_tokens=counts.sum(axis=0).astype(int), log_ratio=sums.mean(axis=0), low=low, high=high)
    return _shares(frame, sums.sum(axis=0), noise)[lambda rows: rows["n_tokens"] > 0]


def _quantiles(changes: Array, lengths: Array, side: str, noise: float) -> pd.DataFrame:
    """The change by pairs: those that fell most first."""
    order = np.argsort(changes, kind="stable")
    ends = np.minimum(np.ceil(np.array(list(QUANTILES.values())) * len(order) - 1e-9).astype(int), len(order))
    pieces = np.split(order, ends[:-1])
    frame = pd.DataFrame({"side": side, "by": "quantile", "part": list(QUANTILES), "n_pairs": [len(p) for p in pieces]})
    totals = np.array([changes[piece].sum() for piece in pieces])
    tokens = np.array([lengths[piece].sum() for piece in pieces])
    tokens = np.nan_to_num(tokens).astype(int)
    frame = frame.assign(n_tokens=tokens, log_ratio=totals / max(len(order), 1), low=np.nan, high=np.nan)
    return _shares(frame, totals, noise)[lambda rows: rows["n_pairs"] > 0]


def _shares(frame: pd.DataFrame, totals: Array, noise: float) -> pd.DataFrame:
    whole = float(frame["log_ratio"].sum())
    share = frame["log_ratio"] / whole if abs(whole) > noise else np.nan
    n_tokens = frame["n_tokens"].to_numpy()
    per_token = np.where(n_tokens > 0, totals / np.maximum(n_tokens, 1), np.nan)
    return frame.assign(share=share, log_ratio_per_token=per_token)
