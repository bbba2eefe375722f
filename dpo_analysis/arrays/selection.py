"""What of a run a table is made of: the policies, series and splits that a person named."""

import hashlib
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.evidence.kinds import draw
from dpo_analysis.schema import REFERENCE, SCORED

Names = str | Sequence[str] | None
SHOWN = 16
PAIRS, PARTS = 64, 4


def choose_models(run: Run, series: Names = None, model: Names = None) -> list[Model]:
    """The policies of ``run`` that ``series`` and ``model`` name, in the run's order; None keeps all.

    Args:
        run: an open run.
        series: names of series.
        model: NAME or SERIES/NAME.

    Raises:
        InputError: the run has no such series or model, or no such model in that series; the message lists what it has.
    """
    training, asked = names(series), names(model)
    _check(training, run.series, "series", run)
    if REFERENCE in asked:
        raise InputError("the reference is no row of a table: its log-probs stand beside every policy's; name a policy")
    near = [policy for policy in run.models if not training or policy.series in training]
    _check(asked, [policy.key for policy in near], "model", run, short={policy.name for policy in near})
    return [policy for policy in near if not asked or policy.name in asked or policy.key in asked]


def choose_pairs(run: Run, splits: NDArray, split: Names = None) -> NDArray[np.bool_]:
    """Which pairs lie in the splits named, a mask of shape (pairs,); None keeps all.

    Raises:
        InputError: the run has no such split; the message lists what it has.
    """
    asked = names(split)
    _check(asked, run.splits, "split", run)
    every = not asked or set(asked) >= set(run.splits)
    return np.ones(len(splits), dtype=bool) if every else np.isin(splits, asked)


def names(given: Names) -> list[str]:
    """One name or several as a list; empty for None."""
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def _check(asked: Iterable[str], known: Iterable[str], what: str, run: Run, *, short: Collection[str] = ()) -> None:
    """Pass when every name is known, by a short form or whole; the refusal lists whole names alone."""
    there = list(dict.fromkeys(known))
    for name in asked:
        if name not in there and name not in short:
            more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
            raise InputError(
                f"no {what} {name!r} in run {run.path}: it has {', '.join(there[:SHOWN]) or 'none'}{more}; "
                "give one of these"
            )


def drawn_pairs(run: Run, *, pairs: int = PAIRS, parts: int = PARTS) -> list[str]:
    """The ids of up to ``pairs`` scored pairs of the run, drawn by a seeded hash, in the order in which they are drawn.

    They come from up to ``parts`` parts, drawn as well, so that what is read of a large run stays small. A run of up to
    ``parts`` parts and ``pairs`` pairs is drawn whole.

    Raises:
        StorageError: a part of the pairs is damaged.
    """
    chosen = sorted(range(run.n_parts), key=_place)[:parts]
    tables = [run.pairs(part, columns=["pair_id", "status"]) for part in chosen]
    found = [
        pair_id
        for table in tables
        for pair_id, status in zip(table["pair_id"].to_pylist(), table["status"].to_pylist(), strict=True)
        if status in SCORED
    ]
    return sorted(found, key=draw)[:pairs]


def _place(part: int) -> bytes:
    return hashlib.sha256(f"part {part}".encode()).digest()
