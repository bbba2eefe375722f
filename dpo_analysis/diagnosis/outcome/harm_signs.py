"""The signs by which the harm of a checkpoint is judged, from scores, evidence ``topk`` and probes."""

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dpo_analysis.arrays.response_sums import pair_index, response_sums
from dpo_analysis.diagnosis.outcome.pair_changes import read_pair_changes
from dpo_analysis.diagnosis.thresholds import IMPROBABLE_TOKEN
from dpo_analysis.runs import Model, Run
from dpo_analysis.runs.list_columns import compute as pc
from dpo_analysis.runs.list_columns import flatten_lists, side_indices
from dpo_analysis.schema import CHOSEN, SIDES
from dpo_analysis.tables.probes import kept_mass_table

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
TOP = 8
"""Likeliest tokens whose mass is compared; the evidence holds at least so many of each model."""


@dataclass(frozen=True, slots=True)
class HarmSigns:
    """What a checkpoint does to the next-token probabilities along the chosen responses; NaN where not measured.

    Attributes:
        slip_chance: mean over chosen responses of the chance that a sample which follows the response slips into a
            token that the reference hardly ever gives (at most ``IMPROBABLE_TOKEN``); only what such tokens gained
            counts. A share.
        entropy_ratio: entropy of the policy over that of the reference, both summed over the chosen responses.
        top_mass_ratio: mass of the policy's ``TOP`` likeliest tokens over that of the reference's.
        kept_mass: probability mass of the reference's samples that the policy keeps (``kept_mass_table``), a share.
        change_per_token: change of the chosen responses, nats per token.
        no_data: share of the lost log-prob that went to tokens in none of the texts.
        n_responses: chosen responses with evidence.
    """

    slip_chance: float = math.nan
    entropy_ratio: float = math.nan
    top_mass_ratio: float = math.nan
    kept_mass: float = math.nan
    change_per_token: float = math.nan
    no_data: float = math.nan
    n_responses: int = 0


def read_harm_signs(run: Run, model: Model, split: str, no_data: float = math.nan) -> HarmSigns:
    """Return the signs of one checkpoint on one split.

    Args:
        run: an open run.
        model: the checkpoint.
        split: split of the pairs.
        no_data: the ledger's share ``no_data`` at this checkpoint.

    Raises:
        InputError: the run has no such split.
        StorageError: a part is damaged.
    """
    changes = read_pair_changes(run, model, split)
    kept = kept_mass_table(run, model=model.key)
    positions = _read_positions(run, model, changes.rows)
    slip, top = (math.nan, math.nan) if positions is None else (positions.slip_chance(), positions.top_mass_ratio())
    return HarmSigns(
        slip_chance=slip,
        entropy_ratio=_entropy_ratio(run, model, changes.rows),
        top_mass_ratio=top,
        kept_mass=float(kept["kept_mass"].iloc[0]) if len(kept) else math.nan,
        change_per_token=changes.chosen_per_token,
        no_data=no_data,
        n_responses=0 if positions is None else len(positions.lengths),
    )


@dataclass(frozen=True, slots=True)
class NamedTokens:
    """The tokens that the evidence names at every position of some responses.

    Attributes:
        lengths: tokens of each response, shape (responses,).
        n_named: named tokens at each position, shape (positions,).
        is_label: whether a named token is the response's own, shape (named,).
        policy: its probability under the policy, shape (named,).
        reference: its probability under the reference, shape (named,).
    """

    lengths: Ints
    n_named: Ints
    is_label: NDArray[np.bool_]
    policy: Array
    reference: Array

    def slip_chance(self) -> float:
        """Return the mean chance that a sample slips into an improbable token somewhere along a response."""
        gained = np.maximum(self.policy - self.reference, 0)
        improbable = (self.reference <= IMPROBABLE_TOKEN) & ~self.is_label
        at_position = np.add.reduceat(np.where(improbable, gained, 0.0), _starts(self.n_named))
        stays = np.log1p(-np.clip(at_position, 0, 1 - 1e-9))
        return float(1 - np.exp(np.add.reduceat(stays, _starts(self.lengths))).mean())

    def top_mass_ratio(self) -> float:
        """Return the mass of the policy's likeliest tokens over that of the reference's."""
        return self._top_mass(self.policy) / self._top_mass(self.reference)

    def _top_mass(self, probability: Array) -> float:
        """Return the summed probability of the ``TOP`` likeliest tokens of every position."""
        position = np.repeat(np.arange(len(self.n_named)), self.n_named)
        order = np.lexsort((-probability, position))
        rank = np.arange(len(order)) - np.repeat(_starts(self.n_named), self.n_named)
        return float(probability[order][rank < TOP].sum())


def _starts(counts: Ints) -> Ints:
    """Return where each of the concatenated pieces begins; every piece has at least one value."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)[:-1]])


def _entropy_ratio(run: Run, model: Model, rows: Ints) -> float:
    """Return the policy's entropy over the reference's; NaN where the run holds sums only."""
    pairs = pair_index(run).indices(rows)
    policy, reference = (response_sums(run, scored).entropy[pairs, 0] for scored in (model, run.reference))
    both = np.isfinite(policy) & np.isfinite(reference)
    total = float(reference[both].sum())
    return float(policy[both].sum()) / total if total > 0 else math.nan


def _read_positions(run: Run, model: Model, rows: Ints) -> NamedTokens | None:
    """Return the named tokens of the chosen responses of these rows; None where none has evidence."""
    parts = [_read_part(run, model, part, rows) for part in run.parts_done(model)] if run.has_tokens else []
    parts = [part for part in parts if part is not None]
    if not parts:
        return None
    fields = [(part.lengths, part.n_named, part.is_label, part.policy, part.reference) for part in parts]
    return NamedTokens(*(np.concatenate(column) for column in zip(*fields, strict=True)))


def _read_part(run: Run, model: Model, part: int, rows: Ints) -> NamedTokens | None:
    evidence = _chosen(run.evidence("topk", model, part), rows)
    evidence = evidence.filter(pc.is_valid(evidence["gained"]))
    if not evidence.num_rows:
        return None
    responses = _chosen(run.responses(part, columns=["row", "side", "token_ids"]), evidence["row"].to_numpy())
    lengths, labels = flatten_lists(responses["token_ids"])
    n_named = flatten_lists(evidence["n_top"])[1].astype(np.int64)
    ids = flatten_lists(evidence["top_id"])[1]
    policy, reference = (
        np.exp(flatten_lists(evidence[name])[1].astype(np.float64)) for name in ("top_logp", "top_reference_logp")
    )
    return NamedTokens(lengths.astype(np.int64), n_named, ids == np.repeat(labels, n_named), policy, reference)


def _chosen(table: pa.Table, rows: Ints) -> pa.Table:
    """Return the lines of the chosen responses of these rows, by row."""
    chosen = side_indices(table) == SIDES.index(CHOSEN)
    kept = table.filter(pa.array(chosen & np.isin(table["row"].to_numpy(), rows)))
    return kept.take(pa.array(np.argsort(kept["row"].to_numpy(), kind="stable")))
