"""The fall is what the policy's movement explains: the responses look like the reference's own, and the policy moved.

Signature: over both responses of all pairs the change is about -sum KL(pi_ref || pi), what answers of the reference
lose on average whichever of them is labelled chosen; both sides fell alike and not hard, credit_z is small, the
reference finds both sides as likely, the two responses have little in common, and nothing in the data accounts for the
loss. That the mean of such answers falls so is arithmetic (identity); that these responses are such answers is a
judgement. Counter-evidence: larger credits. Unit: ratio. Source: Rafailov et al. 2024, arXiv:2404.12358.
"""

import math

from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import EXPECTED_RATIO, REFERENCE_LIKE_CREDIT, REFERENCE_LIKE_GAP
from dpo_analysis.text.numbers import fixed

RANK = 6


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where a decline is established."""
    statistics = symptoms.statistics
    if statistics is None:
        return []
    verdict = _verdict(symptoms, statistics)
    shown = verdict in (LIKELY, POSSIBLE)
    values = {"both": fixed(statistics.both_expected), "z": fixed(statistics.credit_size)}
    values |= {"gap": fixed(statistics.gap), "limit": fixed(REFERENCE_LIKE_CREDIT), "near": fixed(REFERENCE_LIKE_GAP)}
    values |= {"edit": fixed(statistics.edit), "times": fixed(statistics.rejected_times)}
    compared = "possible" if statistics.rejected_times > 0 else "alone"
    counter = f"diagnosis.reference_effect.counter{f'.{compared}' if verdict == POSSIBLE else ''}"
    finding = Finding(
        "reference_effect",
        verdict,
        "identity",
        share=statistics.both_expected,
        unit="ratio",
        key=f"diagnosis.reference_effect.{verdict.replace(' ', '_')}",
        values=values,
        counter=(counter,) if shown else (),
        advice="diagnosis.reference_effect.advice" if shown else "",
        source="arXiv:2404.12358, arXiv:2405.16436",
    )
    return [finding]


def _verdict(symptoms: Symptoms, statistics: FallStatistics) -> str:
    low, high = EXPECTED_RATIO
    if math.isnan(statistics.both_expected):
        return CANNOT_TELL
    if symptoms.like_reference:
        return LIKELY
    expected = low <= statistics.both_expected <= high and statistics.credit_size < REFERENCE_LIKE_CREDIT
    return POSSIBLE if expected else UNLIKELY
