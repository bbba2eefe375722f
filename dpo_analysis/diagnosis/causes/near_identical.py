"""The rejected responses are near copies of the chosen ones, and pushing them down pushes the tokens that both share.

Signature: a small edit distance between the two responses of the typical fallen pair (the median), nothing in other
pairs' texts that accounts for the loss, no region in which the chosen responses that did not fall gained, no end of
text that took much of it, no fall from the very beginning, and more lost per token by the last checkpoint than sound
runs lose. It is not each pair hurting itself: on planted runs pairs that were not trained on fall as much.
Counter-evidence: how many of the pairs fell. The verdict is "cannot tell" where nearly all of the loss went to tokens
in no text. Certainty: association. Unit: none (edit distance, share of the longer response).
Source: Pal et al. 2024 (Smaug), arXiv:2402.13228; Yuan et al. 2024, arXiv:2410.13828.
"""

import math

from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import EARLIER_END_SHARE, NEAR_COPY_DISTANCE, NEAR_COPY_NATS_PER_TOKEN
from dpo_analysis.text.numbers import fixed, whole_percent

RANK = 9


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where a decline is established and the run has token ids."""
    statistics = symptoms.statistics
    if statistics is None or math.isnan(statistics.edit):
        return []
    verdict, key = _verdict(symptoms, statistics)
    shown = verdict in (LIKELY, POSSIBLE)
    values = {"edit": fixed(statistics.edit_median), "fell_share": whole_percent(statistics.fallen_at_end)}
    values |= {"data": whole_percent(statistics.data_driven), "no_data": whole_percent(statistics.no_data)}
    values["hard"] = fixed(statistics.end_per_token, 3)
    finding = Finding(
        "near_identical",
        verdict,
        "association",
        key=key,
        values=values,
        pairs=symptoms.most_fallen() if shown else (),
        counter=("diagnosis.near_identical.counter",) if shown else (),
        advice="diagnosis.near_identical.advice" if shown else "",
        source="arXiv:2410.08847, arXiv:2402.13228",
    )
    return [finding]


def _verdict(symptoms: Symptoms, statistics: FallStatistics) -> tuple[str, str]:
    """Return the verdict and the key of its sentence."""
    if statistics.edit_median >= NEAR_COPY_DISTANCE:
        return UNLIKELY, "diagnosis.near_identical.unlikely"
    if symptoms.ledger is None:
        return CANNOT_TELL, "diagnosis.near_identical.cannot_tell"
    if symptoms.untraceable:
        return CANNOT_TELL, "diagnosis.nowhere"
    other_cause = symptoms.data_driven or symptoms.off_policy or symptoms.ends_earlier or bool(symptoms.gained_regions)
    other_cause |= symptoms.traced or statistics.end >= EARLIER_END_SHARE or symptoms.fell_from_start
    if other_cause:
        return POSSIBLE, "diagnosis.near_identical.possible"
    if statistics.end_per_token < NEAR_COPY_NATS_PER_TOKEN:
        return POSSIBLE, "diagnosis.near_identical.possible.small"
    return LIKELY, "diagnosis.near_identical.likely"
