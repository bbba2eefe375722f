"""Which pairs evidence is collected for: a random sample, or pairs that fell, with matched pairs that did not.

A pair is fallen where the policy's log-prob of the chosen response lies below the reference's. No torch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.errors import InputError
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.evidence.kinds import DEFAULT_PAIRS, EVIDENCE_KINDS, draw_key
from dpo_analysis.runs.summaries.store import PAIR_SUMS, read_pair_index, read_summary
from dpo_analysis.schema import SCORED

FALLEN, NONE, ALL = "fallen", "none", "all"


@dataclass(frozen=True, slots=True)
class EvidenceRequest:
    """The evidence that the caller asks for.

    Attributes:
        kinds: of ``runs.evidence.kinds.EVIDENCE_KINDS``; empty for no evidence.
        max_pairs: pairs of each split for a sample, pairs that fell under each policy otherwise; None for all.
        fallen: collect it for pairs that fell and matched pairs instead of a sample.
    """

    kinds: tuple[str, ...] = EVIDENCE_KINDS
    max_pairs: int | None = DEFAULT_PAIRS
    fallen: bool = False


def parse_evidence_request(
    evidence: str | Iterable[str] = EVIDENCE_KINDS, pairs: int | str = DEFAULT_PAIRS
) -> EvidenceRequest:
    """Return the request that the two options stand for.

    Args:
        evidence: kinds, separated by commas where they are one string; or ``none``; ``fallen`` may stand among them.
        pairs: a number, or ``all``.

    Raises:
        InputError: an option is none of these.
    """
    words = [word.strip() for word in (evidence.split(",") if isinstance(evidence, str) else evidence)]
    allowed = (*EVIDENCE_KINDS, FALLEN, NONE)
    unknown = [word for word in words if word not in allowed]
    if unknown or not words or (NONE in words and len(words) > 1):
        raise InputError(f"bad --evidence {','.join(words)!r}: it is {NONE}, or some of {', '.join(allowed[:-1])}")
    max_pairs = None if pairs == ALL else _pair_count(pairs)
    kinds = tuple(kind for kind in EVIDENCE_KINDS if kind in words) or (EVIDENCE_KINDS if FALLEN in words else ())
    return EvidenceRequest(() if max_pairs == 0 else kinds, max_pairs, FALLEN in words)


def _pair_count(pairs: int | str) -> int:
    if isinstance(pairs, bool) or not str(pairs).isdecimal():
        raise InputError(f"bad --evidence-pairs {pairs!r}: it is a number of pairs, 0 for none, or all")
    return int(pairs)


def fallen_rows(run: Run, models: Iterable[Model], max_pairs: int | None) -> dict[str, frozenset[int]]:
    """Return, for each policy by key, the rows of its pairs that fell and of as many matched pairs that did not fall.

    A pair is fallen where the chosen log-prob changed by less than minus the run's noise floor. Of more than
    ``max_pairs`` those are taken that ``runs.evidence.kinds.draw_key`` puts first. The match of a fallen pair is the
    nearest pair of its split that did not fall and is not yet a match: by length of the chosen response and by
    its reference log-prob per token, both in standard deviations.

    Args:
        run: a run with all its parts.
        models: policies.
        max_pairs: pairs that fell under each policy; None for all.
    """
    inputs, reference = read_pair_index(run), read_summary(run, PAIR_SUMS, run.reference)
    noise_floor = run.noise_floor
    noise = noise_floor.response if noise_floor else 0.0
    rows = inputs["row"].to_numpy()
    features = _PairFeatures(
        rows=rows,
        order=np.argsort(np.argsort([draw_key(pair_id) for pair_id in inputs["pair_id"].to_pylist()], kind="stable")),
        split=np.array(inputs["split"].to_pylist(), dtype=object),
        length=inputs["chosen_n_tokens"].to_numpy(zero_copy_only=False).astype(np.float64),
        reference_logps=_chosen_logps(rows, reference),
    )
    rows_by_model = {}
    for model in models:
        change = _chosen_logps(rows, read_summary(run, PAIR_SUMS, model)) - features.reference_logps
        rows_by_model[model.key] = frozenset(rows[_with_matches(features, change, noise, max_pairs)].tolist())
    return rows_by_model


@dataclass(frozen=True, slots=True)
class _PairFeatures:
    """Every pair of a run; each array is (pairs,).

    Attributes:
        rows: its row.
        order: its place in the order of ``draw_key``.
        split: its split.
        length: tokens of its chosen response.
        reference_logps: the reference's log-prob of its chosen response, nats; NaN where it has none.
    """

    rows: NDArray[np.int64]
    order: NDArray[np.int64]
    split: NDArray[np.object_]
    length: NDArray[np.float64]
    reference_logps: NDArray[np.float64]


def _chosen_logps(rows: NDArray[np.int64], table: pa.Table) -> NDArray[np.float64]:
    """Return the chosen log-probs, nats, in the order of ``rows``; NaN where a pair is not counted."""
    values = np.full(len(rows), np.nan)
    is_counted = np.isin(table["status"].to_pylist(), SCORED)
    place = np.searchsorted(rows, table["row"].to_numpy()[is_counted])
    values[place] = table["chosen_logps"].to_numpy()[is_counted]
    return values


def _with_matches(
    pairs: _PairFeatures, change: NDArray[np.float64], noise: float, max_pairs: int | None
) -> NDArray[np.int64]:
    """Return the indices of the pairs that fell, then of the pairs matched with them.

    Args:
        pairs: every pair of the run.
        change: of its chosen log-prob, nats, (pairs,).
        noise: nats below which a change is rounding.
        max_pairs: as for ``fallen_rows``.
    """
    fallen = np.flatnonzero(change < -noise)
    fallen = fallen[np.argsort(pairs.order[fallen])][:max_pairs]
    points = np.stack([np.log(pairs.length), pairs.reference_logps / pairs.length], axis=1)  # (pairs, 2)
    spread = np.nanstd(points, axis=0, keepdims=True) if len(fallen) else np.ones((1, 2))
    points /= np.where(spread > 0, spread, 1.0)
    is_free = change >= -noise
    matches = []
    for index in fallen:
        candidates = np.flatnonzero(is_free & (pairs.split == pairs.split[index]))
        if len(candidates):
            distance = ((points[candidates] - points[index]) ** 2).sum(axis=1)
            nearest = candidates[distance == distance.min()]
            match = nearest[np.argmin(pairs.order[nearest])]
            is_free[match] = False
            matches.append(match)
    return np.concatenate([fallen, np.array(matches, dtype=np.int64)])
