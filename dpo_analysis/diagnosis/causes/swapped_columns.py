"""The columns chosen and rejected are swapped: the policy prefers what the pairs call rejected, in nearly all pairs.

Signature: of the training pairs (else of the pairs diagnosed) that the policy moved, a share far below one half has a
margin above 0. Where both sides gained instead, policy and reference are swapped. A share and its interval over groups
do not depend on how many nats were lost. Counter-evidence: pairs that were not trained on can be ordered wrongly for
other reasons, but rarely nearly all of them. Certainty: association. Unit: share of the pairs.
Source: the loss is below log 2 only where margins are above 0, Rafailov et al. 2023, arXiv:2305.18290.
"""

import math

import numpy as np

from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding, Share
from dpo_analysis.diagnosis.outcome.answer import did_not_move
from dpo_analysis.diagnosis.outcome.pair_changes import PairChanges
from dpo_analysis.diagnosis.symptoms import EXAMPLES, Symptoms
from dpo_analysis.diagnosis.thresholds import SWAPPED_ACCURACY, SWAPPED_DOUBT_ACCURACY, SWAPPED_PAIRS
from dpo_analysis.numerics.bootstrap import NORMAL_QUANTILE
from dpo_analysis.text.numbers import signed_fixed, whole_percent

RANK = 0.5


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where the changes of the training pairs are known and the policy moved."""
    training = symptoms.training
    if training is None or did_not_move(training.changes):
        return []
    changes = training.changes
    if not changes.decided.any():
        return []
    won = share_won(changes)
    verdict = _verdict(changes, won)
    shown = verdict != UNLIKELY
    both_rose = changes.chosen_mean.share > 0 and changes.rejected_mean.share > 0
    key = "diagnosis.swapped_columns.unlikely"
    if shown:
        key = f"diagnosis.swapped_columns.{'models' if both_rose else 'columns'}"
    values = {"share": whole_percent(won.share), "low": whole_percent(won.low), "high": whole_percent(won.high)}
    values |= {"n": str(int(changes.decided.sum())), "split": changes.split}
    values |= {"chosen": signed_fixed(changes.chosen_mean.share), "rejected": signed_fixed(changes.rejected_mean.share)}
    finding = Finding(
        "swapped_columns",
        verdict,
        "association",
        share=won.share,
        low=won.low,
        high=won.high,
        key=key,
        values=values,
        pairs=_most_wrong(symptoms, changes) if shown else (),
        counter=() if training.trained or not shown else ("diagnosis.swapped_columns.counter",),
        advice="diagnosis.swapped_columns.advice" if shown else "",
        source="arXiv:2305.18290",
    )
    return [finding]


def share_won(changes: PairChanges) -> Share:
    """Return the share of the decided pairs with a margin above 0, with Wilson's 95 % interval over groups.

    A bootstrap of 30 pairs of which none is won would give an interval of width 0.
    """
    decided = changes.decided
    n_groups = len(np.unique(changes.groups[decided]))
    if not n_groups:
        return Share(math.nan, math.nan, math.nan)
    share, z2 = float((changes.margins[decided] > 0).mean()), NORMAL_QUANTILE**2
    middle = (share + z2 / (2 * n_groups)) / (1 + z2 / n_groups)
    spread = NORMAL_QUANTILE * math.sqrt(share * (1 - share) / n_groups + z2 / (4 * n_groups**2)) / (1 + z2 / n_groups)
    return Share(share, max(middle - spread, 0.0), min(middle + spread, 1.0))


def _verdict(changes: PairChanges, won: Share) -> str:
    if changes.decided.sum() < SWAPPED_PAIRS or not won.high < SWAPPED_DOUBT_ACCURACY:
        return UNLIKELY
    return LIKELY if won.high < SWAPPED_ACCURACY else POSSIBLE


def _most_wrong(symptoms: Symptoms, changes: PairChanges) -> tuple[str, ...]:
    """Return the ids of the diagnosed pairs that the policy orders most wrongly."""
    known = set(symptoms.log_ratios.pair_ids.tolist())
    order = np.argsort(changes.margins, kind="stable")
    return tuple([str(pair_id) for pair_id in changes.pair_ids[order].tolist() if pair_id in known][:EXAMPLES])
