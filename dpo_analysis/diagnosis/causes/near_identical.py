"""The rejected responses are near copies of the chosen ones, and pushing them down pushes the tokens that both share.

Signature: a small edit distance between the two responses of fallen pairs, nothing in other pairs' texts that accounts
for the loss, no region in which the chosen responses that did not fall gained, and a curve that neither fell from the
beginning nor rose much: where the mean rises, some responses gain. It is not each pair hurting itself: on planted runs
pairs that were not trained on fall as much. Counter-evidence: a fall from the very beginning. The verdict is "cannot
tell" where nearly all of the loss went to tokens in no text. Certainty: association. Unit: none (edit distance, share
of the longer response).
Source: Pal et al. 2024 (Smaug), arXiv:2402.13228; Yuan et al. 2024, arXiv:2410.13828.
"""

import math

from dpo_analysis.diagnosis.fall_statistics import FallStatistics
from dpo_analysis.diagnosis.findings import CANNOT_TELL, LIKELY, POSSIBLE, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.diagnosis.thresholds import NEAR_COPY_DISTANCE, NEVER_ROSE_NATS, RISEN_NATS
from dpo_analysis.text.numbers import fixed, signed_fixed, whole_percent

RANK = 9


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where a decline is established and the run has token ids."""
    statistics = symptoms.statistics
    if statistics is None or math.isnan(statistics.edit):
        return []
    verdict = _verdict(symptoms, statistics)
    untraceable = verdict == CANNOT_TELL and symptoms.ledger is not None
    shown = verdict in (LIKELY, POSSIBLE)
    values = {"edit": fixed(statistics.edit), "rise": signed_fixed(statistics.rise)}
    values |= {"data": whole_percent(statistics.data_driven), "no_data": whole_percent(statistics.no_data)}
    finding = Finding(
        "near_identical",
        verdict,
        "association",
        key="diagnosis.nowhere" if untraceable else f"diagnosis.near_identical.{verdict.replace(' ', '_')}",
        values=values,
        pairs=symptoms.most_fallen() if shown else (),
        counter=("diagnosis.near_identical.counter",) if shown else (),
        advice="diagnosis.near_identical.advice" if shown else "",
        source="arXiv:2402.13228, arXiv:2410.13828",
    )
    return [finding]


def _verdict(symptoms: Symptoms, statistics: FallStatistics) -> str:
    if statistics.edit >= NEAR_COPY_DISTANCE:
        return UNLIKELY
    if symptoms.ledger is None or symptoms.untraceable:
        return CANNOT_TELL
    other_cause = symptoms.data_driven or symptoms.off_policy or bool(symptoms.shifted)
    return LIKELY if NEVER_ROSE_NATS < statistics.rise < RISEN_NATS and not other_cause else POSSIBLE
