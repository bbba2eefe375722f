"""Select models and pairs for a table, by names of series, models and splits."""

import hashlib
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.evidence.kinds import draw_key
from dpo_analysis.schema import REFERENCE, SCORED

Names = str | Sequence[str] | None
"""A name, several names, or None for all."""
LISTED_NAMES = 16
"""Names that a refusal lists at most."""
SAMPLE_PAIRS, SAMPLE_PARTS = 64, 4
"""Pairs and parts that ``sample_pair_ids`` draws at most."""


def choose_models(run: Run, series: Names = None, model: Names = None) -> list[Model]:
    """Return the policies of ``run`` with these names, in the run's order; None keeps all.

    Args:
        run: an open run.
        series: names of series.
        model: NAME or SERIES/NAME.

    Raises:
        InputError: the run has no such series or model, or no such model in that series; the message lists the names
            that it has.
    """
    series_names, model_names = name_list(series), name_list(model)
    _check_names(series_names, run.series, "series", run)
    if REFERENCE in model_names:
        raise InputError("no rows for the reference: every policy's row holds its log-probs, too; name a policy")
    policies = [policy for policy in run.models if not series_names or policy.series in series_names]
    short = {policy.name for policy in policies}
    _check_names(model_names, [policy.key for policy in policies], "model", run, short=short)
    return [p for p in policies if not model_names or p.name in model_names or p.key in model_names]


def split_mask(run: Run, splits: NDArray, split: Names = None) -> NDArray[np.bool_]:
    """Return which pairs lie in the named splits, shape (pairs,); None keeps all.

    Args:
        run: an open run.
        splits: the split of every pair, shape (pairs,).
        split: names of splits.

    Raises:
        InputError: the run has no such split; the message lists the splits that it has.
    """
    wanted = name_list(split)
    _check_names(wanted, run.splits, "split", run)
    keeps_all = not wanted or set(wanted) >= set(run.splits)
    return np.ones(len(splits), dtype=bool) if keeps_all else np.isin(splits, wanted)


def name_list(names: Names) -> list[str]:
    """Return a name or several names as a list; empty for None."""
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


def sample_pair_ids(run: Run, *, pairs: int = SAMPLE_PAIRS, parts: int = SAMPLE_PARTS) -> list[str]:
    """Return the ids of up to ``pairs`` scored pairs, sampled with a fixed seed, in the order of sampling.

    They come from up to ``parts`` parts, sampled as well, so that little of a large run is read. A run of up to
    ``parts`` parts and ``pairs`` pairs is returned whole.

    Raises:
        StorageError: a part of the pairs is damaged.
    """
    sampled_parts = sorted(run.present_parts, key=_part_order)[:parts]
    tables = [run.pairs(part, columns=["pair_id", "status"]) for part in sampled_parts]
    scored = [
        pair_id
        for table in tables
        for pair_id, status in zip(table["pair_id"].to_pylist(), table["status"].to_pylist(), strict=True)
        if status in SCORED
    ]
    return sorted(scored, key=draw_key)[:pairs]


def _check_names(
    wanted: Iterable[str], known: Iterable[str], noun: str, run: Run, *, short: Collection[str] = ()
) -> None:
    """Raise unless every name is known, whole or by its short form; the message lists whole names only."""
    existing = list(dict.fromkeys(known))
    for name in wanted:
        if name not in existing and name not in short:
            more = f" and {len(existing) - LISTED_NAMES} more" if len(existing) > LISTED_NAMES else ""
            raise InputError(
                f"no {noun} {name!r} in run {run.path}: it has {', '.join(existing[:LISTED_NAMES]) or 'none'}{more}; "
                "give one of these"
            )


def _part_order(part: int) -> bytes:
    """Return a hash of the part's number, the seeded order in which parts are sampled."""
    return hashlib.sha256(f"part {part}".encode()).digest()
