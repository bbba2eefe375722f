"""Everything falls: the training step was too large, or there were too many steps.

Signature: the mean of the chosen responses never rose, not even at the beginning; or nothing in the data explains the
fall and the two responses are not near copies. Counter-evidence: what the texts of other pairs account for. Certainty:
association. Unit: none (nats of the highest mean). Source: common-mode drift, Ren & Sutherland 2024, arXiv:2407.10490.
"""

import math

from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import FAR_APART_DISTANCE, NEAR_COPY_DISTANCE, NEVER_ROSE_NATS
from dpo_analysis.text.numbers import fixed, signed_fixed, whole_percent

RANK = 8


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where a decline is established and the run has token ids."""
    statistics = symptoms.statistics
    if statistics is None or math.isnan(statistics.edit):
        return []
    verdict, key = _verdict(symptoms, statistics)
    shown = verdict in (LIKELY, POSSIBLE)
    left = ".left" if verdict == LIKELY and not statistics.rise <= NEVER_ROSE_NATS else ""
    values = {"rise": signed_fixed(statistics.rise), "edit": fixed(statistics.edit)}
    values |= {"data": whole_percent(statistics.data_driven), "lost": fixed(statistics.lost)}
    values["no_data"] = whole_percent(statistics.no_data)
    finding = Finding(
        "generic_drift",
        verdict,
        "association",
        key=key,
        values=values,
        pairs=symptoms.most_fallen() if shown else (),
        counter=(f"diagnosis.generic_drift.counter{left}",) if shown else (),
        advice="diagnosis.generic_drift.advice" if shown else "",
        source="arXiv:2407.10490",
    )
    return [finding]


def _verdict(symptoms: Symptoms, statistics: FallStatistics) -> tuple[str, str]:
    """Return the verdict and the key of its sentence."""
    from_start = statistics.rise <= NEVER_ROSE_NATS
    far_apart = statistics.edit >= FAR_APART_DISTANCE
    if symptoms.ledger is None:
        verdict, name = (POSSIBLE, "possible") if from_start else (CANNOT_TELL, "cannot")
    elif symptoms.data_driven or symptoms.off_policy:
        verdict, name = (POSSIBLE, "possible") if from_start else (UNLIKELY, "unlikely")
    elif far_apart and not from_start and (symptoms.like_reference or symptoms.shifted):
        verdict, name = POSSIBLE, "beside"
    elif symptoms.untraceable and not from_start:
        return CANNOT_TELL, "diagnosis.nowhere"
    elif from_start or far_apart:
        verdict, name = LIKELY, "start" if from_start else "likely"
    else:
        verdict, name = (UNLIKELY, "near") if statistics.edit < NEAR_COPY_DISTANCE else (CANNOT_TELL, "cannot")
    return verdict, f"diagnosis.generic_drift.{name}"
