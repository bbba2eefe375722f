"""Of which pairs evidence is wanted: a sample, or those whose chosen response fell beside matched ones. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.evidence.kinds import KINDS, PAIRS, draw
from dpo_analysis.runs.summaries.store import SUMS, read_inputs, read_summary
from dpo_analysis.schema import SCORED

FALLEN, NONE, ALL = "fallen", "none", "all"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller wants collected.

    Attributes:
        kinds: of ``evidence.KINDS``; empty for nothing.
        pairs: at most this many, of each split for a sample and of each policy for the fallen; None for all.
        fallen: the fallen pairs and matched ones, instead of a sample.
    """

    kinds: tuple[str, ...] = KINDS
    pairs: int | None = PAIRS
    fallen: bool = False


def wish(evidence: str | Iterable[str] = KINDS, pairs: int | str = PAIRS) -> Wish:
    """Read the two options: kinds with commas between them, ``none`` or ``fallen``; and a number or ``all``.

    Raises:
        InputError: one of them is none of these.
    """
    asked = [word.strip() for word in (evidence.split(",") if isinstance(evidence, str) else evidence)]
    known = (*KINDS, FALLEN, NONE)
    wrong = [word for word in asked if word not in known]
    if wrong or not asked or (NONE in asked and len(asked) > 1):
        raise InputError(f"bad --evidence {','.join(asked)!r}: it is {NONE}, or some of {', '.join(known[:-1])}")
    count = None if pairs == ALL else _count(pairs)
    kinds = tuple(kind for kind in KINDS if kind in asked) or (KINDS if FALLEN in asked else ())
    return Wish(() if count == 0 else kinds, count, FALLEN in asked)


def _count(pairs: int | str) -> int:
    if isinstance(pairs, bool) or not str(pairs).isdecimal():
        raise InputError(f"bad --evidence-pairs {pairs!r}: it is a number of pairs, 0 for none, or all")
    return int(pairs)


def fallen_rows(run: Run, models: Iterable[Model], pairs: int | None) -> dict[str, frozenset[int]]:
    """For each policy the rows of pairs whose chosen response fell, and as many that are like them and did not.

    Fallen: the policy's chosen log-prob lies below the reference's by more than the run's noise floor. Where there are
    more than ``pairs``, those that ``evidence.draw`` puts first. To each the nearest pair of its split that did not
    fall, each once: by length of the chosen response and its reference log-prob per token, both in standard
    deviations.

    Args:
        run: a run whose parts are all there.
        models: policies.
        pairs: fallen pairs of each policy; None for all.
    """
    inputs, reference = read_inputs(run), read_summary(run, SUMS, run.reference)
    floor = run.noise_floor
    noise = floor.response if floor else 0.0
    facts = _Facts(
        rows=inputs["row"].to_numpy(),
        order=np.argsort(np.argsort([draw(one) for one in inputs["pair_id"].to_pylist()], kind="stable")),
        split=np.array(inputs["split"].to_pylist(), dtype=object),
        length=inputs["chosen_n_tokens"].to_numpy(zero_copy_only=False).astype(np.float64),
        reference=_by_row(inputs["row"].to_numpy(), reference),
    )
    found = {}
    for model in models:
        change = _by_row(facts.rows, read_summary(run, SUMS, model)) - facts.reference
        found[model.key] = frozenset(facts.rows[_with_matches(facts, change, noise, pairs)].tolist())
    return found


@dataclass(frozen=True, slots=True)
class _Facts:
    """Every pair of a run, by row: its place in the draw, its split, chosen length and reference logps (NaN: none)."""

    rows: NDArray[np.int64]
    order: NDArray[np.int64]
    split: NDArray[np.object_]
    length: NDArray[np.float64]
    reference: NDArray[np.float64]


def _by_row(rows: NDArray[np.int64], table: pa.Table) -> NDArray[np.float64]:
    """Chosen logps in the order of ``rows``; NaN where the pair has none that counts."""
    values = np.full(len(rows), np.nan)
    counted = np.isin(table["status"].to_pylist(), SCORED)
    place = np.searchsorted(rows, table["row"].to_numpy()[counted])
    values[place] = table["chosen_logps"].to_numpy()[counted]
    return values


def _with_matches(facts: _Facts, change: NDArray[np.float64], noise: float, pairs: int | None) -> NDArray[np.int64]:
    """Places of the fallen pairs and of those matched with them."""
    fell = np.flatnonzero(change < -noise)
    fell = fell[np.argsort(facts.order[fell])][:pairs]
    features = np.stack([np.log(facts.length), facts.reference / facts.length], axis=1)
    spread = np.nanstd(features, axis=0, keepdims=True) if len(fell) else np.ones((1, 2))
    features /= np.where(spread > 0, spread, 1.0)
    free = change >= -noise
    matches = []
    for place in fell:
        near = np.flatnonzero(free & (facts.split == facts.split[place]))
        if len(near):
            distance = ((features[near] - features[place]) ** 2).sum(axis=1)
            nearest = near[distance == distance.min()]
            best = nearest[np.argmin(facts.order[nearest])]
            free[best] = False
            matches.append(best)
    return np.concatenate([fell, np.array(matches, dtype=np.int64)])
