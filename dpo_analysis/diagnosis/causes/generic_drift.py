"""Everything falls: the training step was too large, or there were too many steps.

Signature: by the last checkpoint nearly all chosen responses fell, and they lost more per token than sound runs do,
while neither other pairs' texts nor an earlier end of text account for it and the two responses are no near copies.
After a far larger loss neither near copies nor what other pairs choose speak against it. Possible where the mean fell
from the very beginning, or where the two responses differ much. Counter-evidence: what the texts of other pairs account
for. Certainty: association. Unit: none (nats per token, share of the pairs). Source: common-mode drift, Ren &
Sutherland 2024, arXiv:2407.10490.
"""

import math

from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import PUSHED, Symptoms
from dpo_analysis.diagnosis.thresholds import END_OF_TEXT_SHARE, FAR_APART_DISTANCE, NEAR_COPY_DISTANCE
from dpo_analysis.text.numbers import fixed, signed_fixed, whole_percent

RANK = 8


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where a decline is established and the run has token ids."""
    statistics = symptoms.statistics
    if statistics is None or math.isnan(statistics.edit):
        return []
    verdict, key = _verdict(symptoms, statistics)
    shown = verdict in (LIKELY, POSSIBLE)
    left = ".left" if verdict == LIKELY and symptoms.has_evidence and not symptoms.fell_from_start else ""
    values = {"rise": signed_fixed(statistics.rise), "hard": fixed(statistics.end_per_token, 3)}
    values |= {"edit": fixed(statistics.edit), "typical": fixed(statistics.edit_median)}
    values |= {"data": whole_percent(statistics.data_driven), "lost": fixed(statistics.lost)}
    values |= {"no_data": whole_percent(statistics.no_data), "fell_share": whole_percent(statistics.fallen_at_end)}
    finding = Finding(
        "generic_drift",
        verdict,
        "association",
        key=key,
        values=values,
        pairs=symptoms.most_fallen() if shown else (),
        counter=(f"diagnosis.generic_drift.counter{left}",) if shown else (),
        advice="diagnosis.generic_drift.advice" if shown else "",
        source="arXiv:2406.02900, arXiv:2408.09834",
    )
    return [finding]


def _verdict(symptoms: Symptoms, statistics: FallStatistics) -> tuple[str, str]:
    """Return the verdict and the key of its sentence."""
    from_start = symptoms.fell_from_start
    far_apart = statistics.edit >= FAR_APART_DISTANCE
    near_copies = statistics.edit_median < NEAR_COPY_DISTANCE
    pushed = PUSHED in symptoms.directions.values() or symptoms.off_policy
    at_the_end = symptoms.ends_earlier or statistics.end >= END_OF_TEXT_SHARE
    if symptoms.ruined and not pushed and not at_the_end:
        return LIKELY, "diagnosis.generic_drift.ruined"
    if symptoms.data_driven or symptoms.off_policy:
        verdict, name = (POSSIBLE, "possible") if from_start else (UNLIKELY, "unlikely")
    elif not symptoms.has_evidence:
        name = "possible" if from_start else "possible.hard" if symptoms.fell_hard else "cannot"
        verdict = CANNOT_TELL if name == "cannot" else POSSIBLE
    elif symptoms.fell_hard and not at_the_end and not near_copies:
        verdict, name = LIKELY, "start" if from_start else "likely"
    elif from_start or far_apart:
        verdict, name = POSSIBLE, "beside.start" if from_start else "beside"
    elif symptoms.untraceable:
        return CANNOT_TELL, "diagnosis.nowhere"
    else:
        verdict, name = (UNLIKELY, "near") if near_copies else (CANNOT_TELL, "cannot")
    return verdict, f"diagnosis.generic_drift.{name}"
