"""The rejected responses are texts that the reference would not write.

Signature: under the reference a rejected token is less likely than a chosen one by more than a threshold, nats per
token. Counter-evidence: what other pairs' texts account for. Certainty: association. Unit: none (nats per token of the
gap). Source: on-policy data for preference learning, Tajwar et al. 2024, arXiv:2404.14367.
"""

import math

from dpo_analysis.diagnosis.findings import LIKELY, UNLIKELY, Finding
from dpo_analysis.diagnosis.symptoms import Symptoms
from dpo_analysis.text.numbers import fixed

RANK = 2


def find(symptoms: Symptoms) -> list[Finding]:
    """Return one finding where a decline is established and the run has token ids."""
    statistics = symptoms.statistics
    if statistics is None or math.isnan(statistics.gap):
        return []
    verdict = LIKELY if symptoms.off_policy else UNLIKELY
    finding = Finding(
        "off_policy_rejected",
        verdict,
        "association",
        key=f"diagnosis.off_policy_rejected.{verdict}",
        values={"gap": fixed(statistics.gap)},
        pairs=symptoms.most_fallen() if symptoms.off_policy else (),
        advice="diagnosis.off_policy_rejected.advice" if symptoms.off_policy else "",
        source="arXiv:2508.10530, arXiv:2407.10490",
    )
    return [finding]
