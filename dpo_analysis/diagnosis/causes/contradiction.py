"""What is chosen in one pair is rejected in another: the same response to the same prompt, or labels that look flipped.

Signature: a large share of the lost log-prob lies in pairs that another pair contradicts. The contradiction is a fact
of the data (identity); its connection with the fall is an association. Or: a large share lies in pairs whose label
other pairs oppose, far larger than the share of such pairs. Possible where the policy orders many training pairs
wrongly with confidence and other pairs oppose the labels of these: a share of the labels looks flipped.
Counter-evidence: as large a share of all pairs is contradicted anyway. Unit: share of the lost log-prob.
Source: label noise in DPO, Chowdhury et al. 2024, arXiv:2403.00409.
"""

import math

from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import (
    CONTRADICTED_LOSS_SHARE,
    CONTRADICTED_PAIR_SHARE,
    NEAR_COPY_DISTANCE,
    NEAR_COPY_REVERSED_LOSS_SHARE,
    NEAR_COPY_REVERSED_TIMES,
    REVERSED_LOSS_SHARE,
    REVERSED_TIMES,
    WRONG_OPPOSED_SHARE,
    WRONG_OPPOSED_TIMES,
    WRONG_PAIRS,
    WRONG_SHARE,
)
from dpo_analysis.text.numbers import whole_percent

RANK = 1


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where a decline is established and the run has token ids."""
    statistics = symptoms.statistics
    if statistics is None or math.isnan(statistics.contradicted):
        return []
    contradicted = (
        statistics.contradicted >= CONTRADICTED_LOSS_SHARE and statistics.contradicted_pairs >= CONTRADICTED_PAIR_SHARE
    )
    opposed = _labels_opposed(statistics)
    flipped = _looks_flipped(symptoms) and not (contradicted or opposed)
    verdict = LIKELY if contradicted or opposed else POSSIBLE if flipped or statistics.contradicted > 0 else UNLIKELY
    by_labels = opposed and not contradicted
    values = {"share": whole_percent(statistics.contradicted), "pairs": whole_percent(statistics.contradicted_pairs)}
    values |= {"turned": whole_percent(statistics.turned), "turned_pairs": whole_percent(statistics.turned_pairs)}
    counter = f"diagnosis.contradiction.counter{'.turned' if by_labels else ''}"
    if flipped:
        return [_flipped(symptoms, values)]
    finding = Finding(
        "contradiction",
        verdict,
        "association",
        share=statistics.turned if by_labels else statistics.contradicted,
        key=f"diagnosis.contradiction.{'turned' if by_labels else verdict}",
        values=values,
        counter=(counter,) if verdict != UNLIKELY else (),
        advice="diagnosis.contradiction.advice" if verdict != UNLIKELY else "",
        source="arXiv:2403.00409",
    )
    return [finding]


def _labels_opposed(statistics: FallStatistics) -> bool:
    """Return whether far more of the loss than of the pairs lies in pairs whose label other pairs oppose."""
    near_copies = statistics.edit < NEAR_COPY_DISTANCE
    least = NEAR_COPY_REVERSED_LOSS_SHARE if near_copies else REVERSED_LOSS_SHARE
    times = NEAR_COPY_REVERSED_TIMES if near_copies else REVERSED_TIMES
    above_chance = not statistics.turned <= statistics.turned_by_chance
    return above_chance and statistics.turned >= least and statistics.turned >= times * statistics.turned_pairs


def _looks_flipped(symptoms: Symptoms) -> bool:
    """Return whether other pairs oppose the labels of the many training pairs that the policy orders wrongly."""
    wrong = symptoms.training.wrong if symptoms.training else None
    if wrong is None or wrong.n_wrong < WRONG_PAIRS:
        return False
    opposed = wrong.opposed_wrong >= max(WRONG_OPPOSED_SHARE, WRONG_OPPOSED_TIMES * wrong.opposed_right)
    return wrong.wrong.low >= WRONG_SHARE and opposed


def _flipped(symptoms: Symptoms, values: dict[str, str]) -> Finding:
    """Return the finding that a share of the labels looks flipped."""
    training = symptoms.training
    assert training is not None
    assert training.wrong is not None
    wrong = training.wrong
    values = values | {"wrong": whole_percent(wrong.wrong.share), "split": training.changes.split}
    values |= {"low": whole_percent(wrong.wrong.low), "high": whole_percent(wrong.wrong.high)}
    values |= {"opposed": whole_percent(wrong.opposed_wrong), "opposed_right": whole_percent(wrong.opposed_right)}
    ids = dict(zip(symptoms.log_ratios.rows.tolist(), symptoms.log_ratios.pair_ids.tolist(), strict=True))
    return Finding(
        "contradiction",
        POSSIBLE,
        "association",
        share=wrong.wrong.share,
        low=wrong.wrong.low,
        high=wrong.wrong.high,
        key="diagnosis.contradiction.flipped",
        values=values,
        pairs=tuple(str(ids[row]) for row in wrong.rows if row in ids),
        counter=("diagnosis.contradiction.counter.flipped",),
        advice="diagnosis.contradiction.advice",
        source="arXiv:2403.00409",
    )
